"""A Celery application whose worker once cannot ask its neighbours: its connection ends at that moment."""

# mypy: disable-error-code="untyped-decorator"
# (Celery's decorators have no types.)

import os
from pathlib import Path
from typing import Any

from celery import Celery
from celery.app.control import Inspect
from kombu.exceptions import OperationalError

app = Celery("refused")
hello = Inspect.hello


def hello_or_fail(self: Inspect, *args: object, **kwargs: object) -> Any:  # noqa: ANN401 the neighbours' replies
    """Fail once as kombu does, when what it publishes meets a connection that is gone."""
    file = Path(os.environ["REFUSED_FILE"])
    if file.exists():
        file.unlink()
        raise OperationalError("Connection reset by peer")
    return hello(self, *args, **kwargs)


@app.task(name="sample.echo")
def echo(what: str) -> str:
    """Return what is given."""
    return what


Inspect.hello = hello_or_fail
