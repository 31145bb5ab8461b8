"""`alphaswarm-runtime check`: whether the application and its task modules can be imported.

The build of an image asks it once. It has no broker, and nothing of a pod's environment.
"""

import os
import sys

from alphaswarm_runtime import contract
from alphaswarm_runtime.settings import application

# Mistakes of code or packages. Whatever else an import raises may be for want of a variable, a file or a server.
MISTAKES = (ImportError, SyntaxError, AttributeError, NameError)


def run(name: str) -> int:
    """Import the application, and return the exit status. What only a pod could tell is said, and is no failure.

    Raises:
        ConfigurationError: a module or a name is missing, or what has that name is no application.
    """
    contract.check()
    try:
        app = application.load(name)
    except application.ApplicationError as error:
        if isinstance(error.cause, MISTAKES):
            raise
        sys.stderr.write(f"alphaswarm-runtime: {error}\nThis may be for want of a pod's environment.\n")
        return os.EX_OK
    own = sum(not task.startswith("celery.") for task in app.tasks)
    sys.stderr.write(f"alphaswarm-runtime: {name} was imported, with {own} task(s)\n")
    return os.EX_OK
