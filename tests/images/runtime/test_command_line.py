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


# --- check, which the images' build runs ---

TASKS = "import celery\napp = celery.Celery(include=['more'])\n"


@pytest.mark.parametrize(
    ("app", "more", "cause"),
    [
        ("does.not.exist", "", "ModuleNotFoundError: No module named 'does'"),
        ("tasks", "import does_not_exist", "ModuleNotFoundError: No module named 'does_not_exist'"),
        ("tasks", "from os import does_not_exist", "ImportError: cannot import name"),
        ("tasks", "import os\nos.does_not_exist", "AttributeError: module 'os' has no attribute 'does_not_exist'"),
        ("tasks", "def", "SyntaxError"),
        ("tasks:missing", "", "No module named 'tasks:missing'"),
        ("tasks:TEXT", "", "a str and no Celery application"),
    ],
)
def test_a_mistake_that_an_import_shows_fails_the_check(tmp_path: Path, app: str, more: str, cause: str) -> None:
    (tmp_path / "tasks.py").write_text(f"{TASKS}TEXT = 'text'\n")
    (tmp_path / "more.py").write_text(more)
    done = run(tmp_path, "check", CELERY_APP=app, CELERY_BROKER_URL="")
    assert done.returncode == 78
    assert cause in error_line(done)


@pytest.mark.parametrize(
    ("more", "cause"),
    [
        ("import os\nos.environ['DATABASE_URL']", "KeyError: 'DATABASE_URL'"),
        ("open('/run/secrets/there-in-the-pod')", "FileNotFoundError"),
        ("import socket\nsocket.create_connection(('127.0.0.1', 1))", "ConnectionRefusedError"),
        ("raise RuntimeError('no settings')", "RuntimeError: no settings"),
    ],
)
def test_what_only_a_pod_has_is_said_and_fails_no_check(tmp_path: Path, more: str, cause: str) -> None:
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / "more.py").write_text(more)
    done = run(tmp_path, "check", CELERY_APP="tasks", CELERY_BROKER_URL="")
    assert done.returncode == 0
    assert cause in done.stderr
    assert "pod's environment" in done.stderr


def test_an_application_that_can_be_imported_passes_the_check(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / "more.py").write_text("import tasks\n@tasks.app.task\ndef one():\n    pass\n")
    done = run(tmp_path, "check", CELERY_APP="tasks", CELERY_BROKER_URL="")
    assert done.returncode == 0
    assert done.stderr == "alphaswarm-runtime: tasks was imported, with 1 task(s)\n"


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


@pytest.mark.parametrize("names", ["other", "other,paper"])
def test_an_application_whose_queues_lack_one_is_refused_in_one_line(tmp_path: Path, names: str) -> None:
    queues = ", ".join(f"Queue({name!r})" for name in names.split(","))
    (tmp_path / "queues_of_its_own.py").write_text(
        f"from celery import Celery\nfrom kombu import Queue\napp = Celery('own')\napp.conf.task_queues = [{queues}]\n"
        "app.conf.task_create_missing_queues = False\n"
    )
    done = run(tmp_path, "show", "--queues", "paper", CELERY_APP="queues_of_its_own")
    if "paper" in names:
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 78
        assert "task_queues lack paper" in error_line(done)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("app.conf.worker_direct = True", "worker_direct"),
        ("app.conf.task_queues = [Queue('paper', Exchange('all', type='fanout'))]", "bind paper to a fanout exchange"),
        ("app.conf.task_queues = [Broadcast('all', queue='paper')]", "bind paper to a fanout exchange"),
        (
            "app.conf.update(task_default_queue='paper', task_default_exchange_type='fanout')",
            "bind paper to a fanout exchange",
        ),
    ],
)
def test_queues_whose_tasks_go_to_every_worker_or_to_one_alone_are_refused_in_one_line(
    tmp_path: Path, line: str, said: str
) -> None:
    (tmp_path / "queues_of_its_own.py").write_text(
        "from celery import Celery\nfrom kombu import Exchange, Queue\nfrom kombu.common import Broadcast\n"
        f"app = Celery('own')\n{line}\n"
    )
    done = run(tmp_path, "show", "--queues", "paper", CELERY_APP="queues_of_its_own")
    assert done.returncode == 78
    assert said in error_line(done)


OWN_RESULTS = "db+sqlite:///own-results.db"


@pytest.mark.parametrize(
    ("own", "environ", "used"),
    [
        (OWN_RESULTS, {"ALPHASWARM_BROKER_HOST": "127.0.0.1"}, OWN_RESULTS),
        ("redis://:secret@own:1/2", {"ALPHASWARM_BROKER_HOST": "127.0.0.1"}, "redis://:***@own:1/2"),
        (None, {"ALPHASWARM_BROKER_HOST": "127.0.0.1"}, "redis://127.0.0.1:6379/1"),
        (OWN_RESULTS, {"CELERY_RESULT_BACKEND": "redis://other:1/5"}, "redis://other:1/5"),
        (OWN_RESULTS, {"ALPHASWARM_RESULT_BACKEND": "redis://other:1/5"}, "redis://other:1/5"),
    ],
)
def test_the_applications_own_result_backend_stays_unless_a_whole_url_overrides_it(
    tmp_path: Path, own: str | None, environ: dict[str, str], used: str
) -> None:
    (tmp_path / "results.py").write_text(f"from celery import Celery\napp = Celery('results', backend={own!r})\n")
    done = run(tmp_path, "show", CELERY_APP="results", **environ)
    assert json.loads(done.stdout)["results"] == used
    assert ("override result_backend" in done.stderr) == (own == OWN_RESULTS and used != own)
    assert "secret" not in done.stdout + done.stderr


def test_a_lower_limit_of_the_application_wins(tmp_path: Path) -> None:
    (tmp_path / "quick.py").write_text(
        "from celery import Celery\napp = Celery('quick')\napp.conf.task_time_limit = 17\n"
    )
    assert settings(tmp_path, CELERY_APP="quick", ALPHASWARM_QUEUES="default")["settings"]["task_time_limit"] == 17


TODAYS = ("task_default_queue", "broker_transport_options", "task_acks_late")
NAMESPACE = tuple(f"CELERY_{name.upper()}" for name in TODAYS)
OLD = ("CELERY_DEFAULT_QUEUE", "BROKER_TRANSPORT_OPTIONS", "CELERY_ACKS_LATE")
SPELLINGS = {
    "today's names": (TODAYS, "app.conf.update(VALUES)"),
    "old names": (OLD, "app.config_from_object(VALUES)"),
    "a namespace": (NAMESPACE, "app.config_from_object(VALUES, namespace='CELERY')"),
    "a class, a namespace": (NAMESPACE, "app.config_from_object(type('C', (), VALUES), namespace='CELERY')"),
}


def application(folder: Path, spelling: str, *settings: object) -> str:
    """An application that sets its default queue, its transport options and late acknowledgement, spelt in that way."""
    names, line = SPELLINGS[spelling]
    values = repr(dict(zip(names, settings, strict=True)))
    text = f"from celery import Celery\napp = Celery('spelt')\n{line.replace('VALUES', values)}\n"
    (folder / "spelt.py").write_text(text)
    return "spelt"


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_settings_are_found_however_the_application_spells_them(tmp_path: Path, spelling: str) -> None:
    app = application(tmp_path, spelling, "paper", {"queue_order_strategy": "sorted"}, False)
    found = settings(tmp_path, CELERY_APP=app, ALPHASWARM_QUEUES="paper")
    assert found["settings"]["task_default_queue"] == "paper", "the application's own is overwritten in silence"
    assert [line for line in found["overridden"] if line.startswith("task_acks_late: False (the application's)")]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_prefix_of_keys_is_refused_however_the_application_spells_it(tmp_path: Path, spelling: str) -> None:
    app = application(tmp_path, spelling, "paper", {"global_keyprefix": "own:"}, True)
    done = run(tmp_path, "show", CELERY_APP=app)
    assert done.returncode == 78
    assert "global_keyprefix" in error_line(done), "a worker becomes ready on a list that nobody fills"


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
