"""A command line of Celery is understood in all its spellings, wherever it stands, and no text breaks the reader."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surfaces.audit import shell
from surfaces.audit.commands import Script, invocations
from surfaces.audit.model import UNKNOWN, Invocation

Command = str | Sequence[str]


def one(command: Command, environment: Mapping[str, str] | None = None) -> Invocation:
    found = invocations(command, environment)
    assert len(found) == 1, found
    return found[0][0]


SPELLINGS: list[Command] = [
    "celery -A shop worker -Q a,b -c 4",
    "celery -A shop worker --queues a,b --concurrency 4",
    "celery --app=shop.celery:app worker --queues=a,b --concurrency=4",
    "celery -A shop worker -Qa,b -c4",
    "celery -A shop worker -c 4 -Q a -Q b",
    "celery worker -A shop -Q a,b -c 4",
    "celery -A shop -b redis://r worker -l info -E -n w@%h -Q 'a, b' -c 4 --without-gossip",
    "/venv/bin/celery -A shop worker -Q a,b -c 4",
    "python -m celery -A shop worker -Q a,b -c 4",
    "python3 -u -m celery --app shop worker -Q a,b -c 4",
    "python manage.py celery worker -A shop -Q a,b -c 4",
    "exec celery -A shop worker -Q a,b -c 4",
    "poetry run celery -A shop worker -Q a,b -c 4",
    "uv run --no-sync celery -A shop worker -Q a,b -c 4",
    "pipenv run celery -A shop worker -Q a,b -c 4",
    "dotenv run -- celery -A shop worker -Q a,b -c 4",
    "dotenv -f .env run celery -A shop worker -Q a,b -c 4",
    "watchmedo auto-restart -d . -p '*.py' -R -- celery -A shop worker -Q a,b -c 4",
    "watchfiles --filter python 'celery -A shop worker -Q a,b -c 4' shop",
    "tini -g -- celery -A shop worker -Q a,b -c 4",
    "dumb-init celery -A shop worker -Q a,b -c 4",
    "gosu celery celery -A shop worker -Q a,b -c 4",
    "su -s /bin/sh celery -c 'celery -A shop worker -Q a,b -c 4'",
    "newrelic-admin run-program celery -A shop worker -Q a,b -c 4",
    "opentelemetry-instrument celery -A shop worker -Q a,b -c 4",
    "./wait-for-it.sh db:5432 -t 30 -- celery -A shop worker -Q a,b -c 4",
    "/entrypoint.sh celery -A shop worker -Q a,b -c 4",
    "sh -c 'sleep 5 && exec celery -A shop worker -Q a,b -c 4'",
    "C_FORCE_ROOT=1 nice -n 5 celery -A shop worker -Q a,b -c 4",
    "migrate && celery -A shop worker -Q a,b -c 4 || exit 1",
    "celery -A shop worker \\\n  -Q a,b \\\n  -c 4",
    "celery -A shop worker -Q a,b --autoscale=4,1",
    "celery multi start w1 w2 -A shop -Q a,b -c 4",
    "celery multi start w1 w2 -A shop -Q:w1 a -Q:w2 b -c 4",
    ["celery", "-A", "shop", "worker", "-Q", "a,b", "-c", "4"],
    ["sh", "-c", "celery -A shop worker -Q a,b -c 4"],
    ["bash", "-lc", "cd /app; . env.sh; celery -A shop worker -Q a,b -c 4"],
    ["tini", "--", "bash", "-c", "exec celery -A shop worker -Q ${QS:-a,b} -c ${C:-4}"],
    "bash -c \"bash -c 'celery -A shop worker -Q a,b -c 4'\"",
]


@pytest.mark.parametrize("command", SPELLINGS, ids=str)
def test_a_worker_is_found_with_its_queues(command: Command) -> None:
    found = one(command)
    assert (found.kind, found.queues, found.concurrency, found.app) == ("worker", ("a", "b"), 4, "shop")
    assert found.certain


@pytest.mark.parametrize(
    "command",
    [
        "celery -A shop flower",
        "celery -A shop inspect ping",
        "celery -A shop multi stop worker",
        "pip install celery worker",
        "echo celery -A shop worker",
        "pkill -f 'celery -A shop worker'",
        "tail -F /var/log/celery/worker.log",
        "gunicorn shop --worker-class gevent --workers 4",
        "rq worker high",
        "dramatiq shop --queues a",
        "python manage.py rqworker a",
        "# celery -A shop worker",
        "mkdir -p /var/run/celery worker",
        "",
    ],
)
def test_what_starts_no_worker_is_none(command: str) -> None:
    assert invocations(command) == []


def test_no_queue_option_is_celerys_default() -> None:
    assert one("celery -A shop worker").queues is None
    assert one("celery -A shop worker -Q ''").queues is None
    assert one("celery -A shop worker -X slow").excluded == ("slow",)


def test_beat_stands_alone_or_in_a_worker() -> None:
    assert one("celery -A shop beat -S redbeat.RedBeatScheduler").scheduler == "redbeat.RedBeatScheduler"
    assert one("celery -A shop worker -B").embedded_beat
    assert one("celery -A shop worker -EB -l info").embedded_beat
    assert one("celery -A shop worker --beat").embedded_beat
    assert not one("celery -A shop worker -E").embedded_beat


def test_limits_are_seconds() -> None:
    assert one("celery -A shop worker --time-limit=300 --soft-time-limit 200").time_limit == 300
    assert one("celery -A shop worker --soft-time-limit 200").time_limit is None


@pytest.mark.parametrize(
    ("text", "environment", "queues", "is_open"),
    [
        ("celery -A s worker -Q $QS", {"QS": "a,b"}, ("a", "b"), False),
        ("celery -A s worker -Q ${QS}", {}, (), True),
        ("celery -A s worker -Q ${QS:-a}", {}, ("a",), False),
        ("celery -A s worker -Q ${QS:-${Q:-a}}", {}, ("a",), False),
        ("celery -A s worker -Q a,$OTHER", {}, ("a",), True),
        ("QS=a; celery -A s worker -Q $QS", {}, ("a",), False),
        ("OPTS='-Q a,b -c 2'; celery -A s worker $OPTS", {}, ("a", "b"), False),
        ("celery -A s worker -Q $(cat queues)", {}, (), True),
        ("celery -A s worker -Q '$QS'", {"QS": "a"}, (), True),
    ],
)
def test_variables_are_expanded_and_what_is_not_known_is_open(
    text: str, environment: Mapping[str, str], queues: tuple[str, ...], is_open: bool
) -> None:
    found = one(text, environment)
    assert (found.queues, found.is_open) == (queues, is_open)
    assert found.certain is not is_open


def test_airflow_names_queues_with_a_small_letter() -> None:
    found = one("airflow celery worker -q high,low")
    assert found.queues == ("high", "low")
    assert one("airflow celery worker").default_queue == "default"


@pytest.mark.parametrize(
    ("words", "environment", "queues"),
    [
        (["shop-runtime", "worker", "--queues", "a,b"], {}, ("a", "b")),
        (["./run", "worker", "-Q", "a"], {}, ("a",)),
        (["shop-runtime", "worker"], {"SHOP_QUEUES": "a,b"}, ("a", "b")),
        (["/start-worker.sh"], {"CELERY_QUEUES": "a"}, ("a",)),
    ],
)
def test_a_wrapper_is_understood_by_names_and_is_a_guess(
    words: Sequence[str], environment: Mapping[str, str], queues: tuple[str, ...]
) -> None:
    found = one(words, environment)
    assert found.queues == queues
    assert not found.certain


ENTRYPOINT = """#!/bin/sh
set -e
start_worker() {
  exec celery -A shop worker -Q "${QUEUES:-a,b}"
}
case "$1" in
  worker) shift; start_worker "$@" ;;
  beat)
    exec celery -A shop beat
    ;;
  web|api) exec gunicorn shop ;;
  *) exec "$@" ;;
esac
"""


def of_script(words: Sequence[str], text: str, environment: Mapping[str, str] | None = None) -> list[Invocation]:
    script = Script("entrypoint.sh", text)
    found = invocations(words, environment, lambda word: script if word.endswith("entrypoint.sh") else None)
    return [invocation for invocation, _ in found]


def test_a_script_is_followed_with_its_arguments() -> None:
    worker, beat = (
        of_script(["/entrypoint.sh", "worker"], ENTRYPOINT),
        of_script(["/entrypoint.sh", "beat"], ENTRYPOINT),
    )
    assert [(found.kind, found.queues, found.certain) for found in worker] == [("worker", ("a", "b"), True)]
    assert [found.kind for found in beat] == ["beat"]
    assert of_script(["/entrypoint.sh", "web"], ENTRYPOINT) == [], "the web server would count as a worker"
    assert of_script(["/entrypoint.sh", "worker"], ENTRYPOINT, {"QUEUES": "c"})[0].queues == ("c",)


def test_a_script_is_followed_by_a_variable() -> None:
    text = (
        'if [ "$MODE" = worker ]; then\n  celery -A s worker -Q a\n'
        "elif [[ $MODE == beat ]]; then\n  celery -A s beat\nfi\n"
    )
    assert [found.kind for found in of_script(["entrypoint.sh"], text, {"MODE": "beat"})] == ["beat"]
    assert of_script(["entrypoint.sh"], text, {"MODE": "web"}) == []
    unknown = of_script(["entrypoint.sh"], text)
    assert {found.kind for found in unknown} == {"worker", "beat"}
    assert all(found.maybe for found in unknown)


def test_what_follows_exec_does_not_run() -> None:
    assert of_script(["entrypoint.sh"], "exec gunicorn shop\ncelery -A s worker -Q a\n") == []


def test_a_here_document_is_no_command() -> None:
    assert invocations("cat > run <<EOF\ncelery -A s worker -Q a\nEOF\ncelery -A s worker -Q b")[0][0].queues == ("b",)


def test_a_line_is_that_of_the_command() -> None:
    assert invocations("set -e\n\ncelery -A s worker\n")[0][1] == 3


WORDS = (
    "celery worker beat -Q -A ' \" $ { } ( ) ` \\ ; & | case in esac if then fi a :- = [ ] do done <<EOF # $( ${ sh -c"
)
ALPHABET = st.sampled_from([*WORDS.split(), " ", "\n", UNKNOWN])


@given(st.one_of(st.text(), st.lists(ALPHABET).map("".join), st.lists(ALPHABET).map(" ".join)))
def test_no_text_breaks_the_reader(text: str) -> None:
    invocations(text)
    invocations(text.split("\n"))
    shell.split(text)


@given(st.lists(st.from_regex(r"[a-z][a-z0-9_.-]{0,8}", fullmatch=True), min_size=1, max_size=5, unique=True))
def test_queues_survive_any_quoting(names: list[str]) -> None:
    joined = ",".join(names)
    for text in (joined, f'"{joined}"', f"'{joined}'", "${NOT_SET:-" + joined + "}"):
        assert one(f"celery -A s worker -Q {text}").queues == tuple(names)
