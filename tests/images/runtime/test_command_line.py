"""The commands refuse what they must with one line and the documented exit status, before they connect."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alphaswarm_runtime.health import traces

from tests.images.runtime.harness import APPLICATIONS, BASE

REFUSED = "redis://127.0.0.1:1/0"  # refuses every connection


def run(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("CELERY_", "ALPHASWARM_"))}
    environ = {**inherited, **BASE, "CELERY_BROKER_URL": REFUSED, "ALPHASWARM_STATE_DIR": str(folder / "state"), **more}
    return subprocess.run(
        [sys.executable, "-m", "alphaswarm_runtime", *arguments],
        env=environ, capture_output=True, text=True, check=False, cwd=folder, timeout=60,
    )  # fmt: skip


def error_line(done: subprocess.CompletedProcess[str]) -> str:
    """The last line of standard error, which must be the runtime's own, without a traceback before it."""
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("alphaswarm-runtime: ")
    return last


def test_a_foreign_queue_ends_with_78_before_the_application_is_imported(tmp_path: Path) -> None:
    done = run(tmp_path, "worker", "--queues", "backtest", CELERY_APP="does.not.exist")
    assert done.returncode == 78
    assert "queue 'backtest' belongs to image 'executor'" in error_line(done)
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("app", "cause"),
    [
        ("does.not.exist", "ModuleNotFoundError"),
        ("broken", "ZeroDivisionError: division by zero"),
        ("os:path", "no Celery application"),
        ("os", "os"),
    ],
)
def test_an_unknown_application_ends_with_78(tmp_path: Path, app: str, cause: str) -> None:
    (tmp_path / "broken.py").write_text("1 / 0")
    done = run(tmp_path, "worker", "--queues", "default", CELERY_APP=app)
    assert done.returncode == 78
    assert cause in error_line(done)


def test_a_state_folder_that_cannot_be_written_to_ends_with_78(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run(tmp_path, "worker", "--queues", "default", ALPHASWARM_STATE_DIR=str(tmp_path / "file" / "state"))
    assert done.returncode == 78
    assert "ALPHASWARM_STATE_DIR" in error_line(done)


def test_a_broker_that_never_answers_ends_with_69_after_saying_so(tmp_path: Path) -> None:
    done = run(tmp_path, "worker", "--queues", "default", ALPHASWARM_BROKER_WAIT="3")
    assert done.returncode == 69
    assert "did not answer within 3 s" in error_line(done)
    assert done.stderr.count("does not answer (") >= 2


def test_a_broker_that_is_no_redis_ends_with_78(tmp_path: Path) -> None:
    done = run(tmp_path, "show", CELERY_BROKER_URL="memory://")
    assert done.returncode == 78
    assert "the fleet runs on Redis" in error_line(done)


@pytest.mark.parametrize("arguments", [[], ["frob"], ["probe"], ["probe", "well"], ["worker", "--concurrency", "none"]])
def test_a_wrong_command_line_ends_with_64(tmp_path: Path, arguments: list[str]) -> None:
    assert run(tmp_path, *arguments).returncode == 64


def test_help_names_every_status(tmp_path: Path) -> None:
    done = run(tmp_path, "--help")
    assert done.returncode == 0
    assert all(f"  {status}" in done.stdout for status in (0, 1, 64, 69, 78))


def test_an_application_whose_lists_have_other_names_is_refused(tmp_path: Path) -> None:
    (tmp_path / "prefixed.py").write_text(
        "from celery import Celery\napp = Celery('prefixed')\n"
        "app.conf.broker_transport_options = {'global_keyprefix': 'x:'}\n"
    )
    done = run(tmp_path, "show", CELERY_APP="prefixed")
    assert done.returncode == 78
    assert "global_keyprefix" in error_line(done)


def settings(folder: Path, **more: str) -> dict[str, Any]:
    done = run(folder, "show", **more)
    assert done.returncode == 0, done.stderr
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


def test_show_prints_the_enforced_settings_and_what_they_override(tmp_path: Path) -> None:
    shown = settings(tmp_path, ALPHASWARM_QUEUES="terraform")
    assert shown["settings"]["task_acks_late"] is True
    assert shown["settings"]["worker_cancel_long_running_tasks_on_connection_loss"] is False
    waiting = ["terraform", *(f"terraform\x06\x16{step}" for step in (3, 6, 9))]
    assert shown["keys"] == {
        "terraform": [*waiting, *(f"{key}:{{terraform}}" for key in ("unacked", "parked", "dead"))]
    }
    assert [line for line in shown["overridden"] if line.startswith("task_acks_late: False")]


def test_a_lower_limit_of_the_application_wins(tmp_path: Path) -> None:
    (tmp_path / "quick.py").write_text(
        "from celery import Celery\napp = Celery('quick')\napp.conf.task_time_limit = 17\n"
    )
    assert settings(tmp_path, CELERY_APP="quick", ALPHASWARM_QUEUES="default")["settings"]["task_time_limit"] == 17


@pytest.mark.parametrize(("own", "used"), [("", 60.0), ("app.conf.worker_proc_alive_timeout = 300", 300)])
def test_an_application_may_set_how_long_its_processes_load(tmp_path: Path, own: str, used: float) -> None:
    (tmp_path / "loads.py").write_text(f"from celery import Celery\napp = Celery('loads')\n{own}\n")
    shown = settings(tmp_path, CELERY_APP="loads", ALPHASWARM_QUEUES="default")
    assert shown["settings"]["worker_proc_alive_timeout"] == used


def test_a_task_with_an_option_of_its_own_is_named(tmp_path: Path) -> None:
    (tmp_path / "early.py").write_text(
        "from celery import Celery\napp = Celery('early')\napp.conf.task_acks_late = True\n"
        "@app.task(name='once', acks_late=False)\ndef once(): pass\n"
    )
    overridden = settings(tmp_path, CELERY_APP="early", ALPHASWARM_QUEUES="default")["overridden"]
    assert [line for line in overridden if line.startswith("task once: acks_late: False")]


@pytest.mark.parametrize(("endpoint", "installed"), [("", True), ("http://127.0.0.1:1", False)])
def test_without_an_endpoint_or_the_extra_no_child_is_traced(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, installed: bool
) -> None:
    from celery.signals import worker_process_init

    receivers = list(worker_process_init.receivers)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if installed else None)
    traces.start()
    assert worker_process_init.receivers == receivers, "each child fails at its start: it imports what is not there"


def test_the_sample_application_does_not_know_the_runtime() -> None:
    assert "alphaswarm_runtime" not in (APPLICATIONS / "sample.py").read_text()
