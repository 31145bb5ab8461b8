"""Loads the Celery application that CELERY_APP names, as `celery --app` does.

An application that cannot be imported ends the process with one line. Readers want the cause, which is the innermost
error, not this package's traceback.
"""

import sys
from pathlib import Path

from alphaswarm_runtime.errors import ConfigurationError
from alphaswarm_runtime.type_aliases import App


class ApplicationError(ConfigurationError):
    """The application cannot be imported; `cause` is what it raised."""

    def __init__(self, message: str, cause: Exception) -> None:
        super().__init__(f"{message}: {_description(cause)}")
        self.cause = cause


def load(name: str) -> App:
    """Import the application and its task modules.

    Raises:
        ApplicationError: an import fails.
        ConfigurationError: what has that name is no application.
    """
    from celery import Celery
    from celery.app.utils import find_app

    working_directory = str(Path.cwd())
    if working_directory not in sys.path:
        sys.path.insert(0, working_directory)  # as `celery` does; a console script, unlike `python -m`, lacks it
    try:
        app = find_app(name)
    except Exception as error:  # noqa: BLE001  an application's import may raise anything
        raise ApplicationError(f"CELERY_APP is {name!r} and cannot be imported", error) from None
    if not isinstance(app, Celery):
        raise ConfigurationError(f"CELERY_APP is {name!r}, which is a {type(app).__name__} and no Celery application")
    app.set_current()
    try:
        app.loader.import_default_modules()
        app.finalize()
    except Exception as error:  # noqa: BLE001
        raise ApplicationError(f"the task modules of {name!r} cannot be imported", error) from None
    return app


def _description(error: BaseException) -> str:
    first_line = (str(error).strip() or "no message").splitlines()[0]
    return f"{type(error).__name__}: {first_line}"
