"""Which Celery workers and schedulers a command line starts, wherever the command stands in it.

`celery -A app worker -Q a,b` is found behind `exec`, `poetry run`, `tini --`, `gosu user`, `sh -c "..."` and any other
wrapper, since what is looked for is a word `celery` that `worker`, `beat` or `multi` follows as Celery's command line
has it. Scripts of the checkout are followed. Wrappers with options of Celery's names, and environment variables that
list queues, are understood by their names, which is a guess and marked as one.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from surfaces.audit import shell
from surfaces.audit.model import UNKNOWN, Invocation
from surfaces.audit.texts import queue_names, whole, word_set

MAX_DEPTH = 5  # shells and scripts within each other

QUEUES_VARIABLE = re.compile(r"(?:[A-Z0-9]+_)*QUEUES?(?:_NAMES?|_LIST)?|CELERYD?_WORKER_QUEUES")
CONCURRENCY_VARIABLE = re.compile(r"(?:[A-Z0-9]+_)?(?:WORKER_|CELERYD?_)?CONCURRENCY")

# Commands whose words are texts, other programs' names or packages, and not what is run.
_TALKS = word_set(
    "echo printf pip pip3 apt apt-get apk yum dnf brew grep egrep pkill pgrep kill killall chown chmod mkdir cd "
    "rm touch cat useradd adduser groupadd addgroup usermod systemctl service supervisorctl journalctl curl wget "
    "logger git find test [ [[ ls tail head sed awk cp mv ln docker-compose docker podman kubectl helm heroku "
    "conda npm yarn rq dramatiq huey_consumer huey_consumer.py procrastinate sidekiq resque php artisan node java "
    "saq arq flower gunicorn uvicorn hypercorn daphne nginx uwsgi redis-server redis-cli rabbitmq-server ssh scp "
    "rsync sleep which command type read"
)
# Other task queues, behind `python manage.py`, `bundle exec` and the like.
_OTHERS = re.compile(
    r"(^|[\s/._-])(rq|rqworker|dramatiq|huey|sidekiq|resque|procrastinate|temporal|qcluster|faktory)\b"
)
_CELERY = re.compile(r"(?:.*/)?(?:celery(?:\.exe)?|celery\.bin\.celery|celery\.__main__)")
_OLD = {"celeryd": "worker", "celerybeat": "beat", "celeryd-multi": "multi", "celery.bin.worker": "worker"}
_KINDS = ("worker", "beat", "multi")

_FLAGS = word_set(
    "-q --quiet -C --no-color --skip-checks -B --beat -E --task-events --events -D --detach --purge --discard "
    "--without-gossip --without-mingle --without-heartbeat --version --help -V --no-execv --logfile-append "
    "--disable-prefetch --detect-reload --autoreload --verbose --nosplash --force-execv"
)


@dataclass(frozen=True)
class Script:
    """A shell script of the checkout."""

    path: str
    text: str


FindScript = Callable[[str], Script | None]


def invocations(
    command: str | Sequence[str],
    environment: Mapping[str, str] | None = None,
    find_script: FindScript | None = None,
) -> list[tuple[Invocation, int]]:
    """Return what a command starts, and on which of its lines. A string is a shell's text, a sequence is words."""
    reader = _Reader(dict(environment or {}), find_script or (lambda _: None))
    if isinstance(command, str):
        return list(reader.text(command, 0))
    return [(found, 1) for found, _ in reader.words(tuple(command), dict(environment or {}), 0)]


def script_invocations(script: Script) -> list[tuple[Invocation, int]]:
    """Return what a script starts when nobody says with which arguments: only Celery's own command lines."""
    reader = _Reader({}, lambda _: None)
    return [
        (_under(found, command), command.line)
        for command in shell.commands(script.text)
        for found in reader.celery(command.words, command.variables, 0)
    ]


def _under(found: Invocation, command: shell.SimpleCommand) -> Invocation:
    """Return what a command starts, which may not run at all."""
    if command.certain:
        return found
    return replace(found, certain=False, maybe=True)


def started(words: Sequence[str]) -> Invocation | None:
    """Return what the code starts with a list of words, with `celery` before them or without."""
    found = invocations(words)
    return found[0][0] if found and found[0][0].certain else celery_line(words, {})


class _Reader:
    """Reads one unit's command."""

    def __init__(self, environment: dict[str, str], find_script: FindScript) -> None:
        self.environment = environment
        self.find_script = find_script

    def text(self, text: str, depth: int, arguments: Sequence[str] | None = None) -> Iterator[tuple[Invocation, int]]:
        """Yield what a shell's text starts."""
        for command in shell.commands(text, self.environment, arguments):
            for found, _ in self.words(command.words, command.variables, depth):
                yield _under(found, command), command.line

    def words(
        self, words: tuple[str, ...], variables: Mapping[str, str], depth: int
    ) -> Iterator[tuple[Invocation, int]]:
        """Yield what one command starts; a wrapper only where nothing better was found."""
        found = list(self.celery(words, variables, depth)) or self._of_scripts(words, depth)
        if not found:
            found = list(_wrapper(words, variables))
        yield from ((invocation, 1) for invocation in found)

    def celery(self, words: tuple[str, ...], variables: Mapping[str, str], depth: int) -> Iterator[Invocation]:
        """Yield Celery's own command lines within a command."""
        if not words or _basename(words[0]) in _TALKS or depth > MAX_DEPTH:
            return
        for index, word in enumerate(words):
            rest = words[index + 1 :]
            if kind := _OLD.get(_basename(word)):
                rest = (kind, *rest)
            elif not _CELERY.fullmatch(word):
                continue
            before = _basename(words[index - 1]) if index else ""
            if invocation := celery_line(rest, variables, airflow=before == "airflow"):
                yield invocation
                return
        yield from self._nested(words, variables, depth)

    def _nested(self, words: tuple[str, ...], variables: Mapping[str, str], depth: int) -> Iterator[Invocation]:
        """Yield what a text among the words starts, as after `sh -c`."""
        for word in words:
            if not re.search(r"\s", word) or "celery" not in shell.substitute(word, variables):
                continue
            for command in shell.commands(word, variables):
                for found in self.celery(command.words, command.variables, depth + 1):
                    yield _under(found, command)

    def _of_scripts(self, words: tuple[str, ...], depth: int) -> list[Invocation]:
        """Return what the first of the checkout's scripts among the words starts, with the words after it."""
        if depth > MAX_DEPTH or not words or _basename(words[0]) in _TALKS:
            return []
        for index, word in enumerate(words):
            scripts = [word] if not re.search(r"\s", word) else list(shell.split(word, self.environment))
            for place, name in enumerate(scripts):
                if script := self.find_script(name):
                    arguments = [*scripts[place + 1 :], *words[index + 1 :]]
                    return [found for found, _ in self.text(script.text, depth + 1, arguments)]
        return []


def _basename(word: str) -> str:
    return word.rstrip("/").rpartition("/")[2]


def celery_line(words: Sequence[str], variables: Mapping[str, str], *, airflow: bool = False) -> Invocation | None:
    """Return what the words after `celery` start; None where they start neither worker nor beat."""
    options, positionals = _options(["-Q" if airflow and word == "-q" else word for word in words])
    kind = positionals[0] if positionals else ""
    if kind not in _KINDS:
        return None
    if kind == "multi":
        if not {"start", "restart", "startv", "show"} & set(positionals[1:2]):
            return None
        kind = "worker"
    return replace(
        _invocation(kind, options, variables), default_queue="default" if airflow else None, app=_app(options, airflow)
    )


def _app(options: Mapping[str, str], airflow: bool) -> str | None:
    app = "airflow" if airflow else options.get("-A", options.get("--app"))
    if app is None or UNKNOWN in app:
        return None
    # celery -A proj finds proj.celery:app; all its spellings are one application.
    return re.sub(r"(\.celery(_app|app)?|[:.](app|celery|celery_app|application))*$", "", app) or app


def _invocation(kind: str, options: Mapping[str, str], variables: Mapping[str, str]) -> Invocation:
    queues, is_open = _queues(options)
    excluded, _ = queue_names(options.get("-X", options.get("--exclude-queues", "")))
    broker = options.get("-b", options.get("--broker"))
    scheduler = options.get("--scheduler", options.get("-S") if kind == "beat" else None)
    autoscale = options.get("--autoscale", "").split(",")[0]
    return Invocation(
        kind=kind,
        queues=queues,
        excluded=excluded,
        is_open=is_open,
        broker=broker if broker and UNKNOWN not in broker else _broker(variables),
        concurrency=whole(options.get("-c", options.get("--concurrency", autoscale))),
        time_limit=_limit(options.get("--time-limit")),
        embedded_beat=kind == "worker" and ("-B" in options or "--beat" in options),
        scheduler=scheduler,
        certain=not is_open,
    )


def _broker(variables: Mapping[str, str]) -> str | None:
    """Return the broker's address from the variable that usually has it."""
    named = [value for name, value in variables.items() if name.endswith("BROKER_URL")]
    usual = [variables[name] for name in ("REDIS_URL", "RABBITMQ_URL", "AMQP_URL") if name in variables]
    return next((value for value in (*named, *usual) if value and UNKNOWN not in value), None)


def _limit(text: str | None) -> float | None:
    return float(text) if text is not None and re.fullmatch(r"\d+(\.\d+)?", text) else None


def _queues(options: Mapping[str, str]) -> tuple[tuple[str, ...] | None, bool]:
    """Return the queues of -Q, and of `multi`'s -Q:node; None where there is none."""
    texts = [
        value
        for name, value in options.items()
        if name in ("-Q", "--queues", "--queue") or name.startswith(("-Q:", "--queues:"))
    ]
    if not texts:
        return None, False
    names, unknown = queue_names(",".join(texts))
    if not names and not unknown:  # -Q "" is as if it were not there
        return None, False
    return names, unknown


def _options(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    options: dict[str, str] = {}
    positionals: list[str] = []
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word == "--":
            continue
        if not word.startswith("-") or word == "-":
            positionals.append(word)
            continue
        name, value = _option(word)
        if value is None and name not in _FLAGS and not name.startswith("--without-"):
            value = words[at] if at < len(words) and not words[at].startswith("-") else ""
            at += 1 if value or words[at : at + 1] == [""] else 0
        _keep(options, name, value)
    return options, positionals


def _keep(options: dict[str, str], name: str, value: str | None) -> None:
    both = name in ("-Q", "--queues") and options.get(name) and value
    options[name] = f"{options[name]},{value}" if both else value or ""


def _option(word: str) -> tuple[str, str | None]:
    """Return an option's name and the value in the same word: `--queues=a`, `-Qa`, `-c4`, `-EB`."""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        return name, value if equals else None
    if re.match(r"-[A-Z]:", word):
        name, equals, value = word.partition("=")
        return name, value if equals else None
    if re.fullmatch(r"-[BED]{2,3}", word):
        return ("-B" if "B" in word else "-E"), ""
    if len(word) > 2 and word[:2] not in ("-B", "-E", "-D"):
        return word[:2], word[2:].removeprefix("=")
    return word, None


def _wrapper(words: tuple[str, ...], variables: Mapping[str, str]) -> Iterator[Invocation]:
    """Yield what a command starts that is not Celery's, but speaks as it does."""
    options, positionals = _options(words[1:])
    names = [_basename(word) for word in (*words[:1], *positionals)]
    if not names or names[0] in _TALKS or _OTHERS.search(" ".join(words)) or any(name in _TALKS for name in names):
        return
    if any(_CELERY.fullmatch(word) for word in words):  # celery flower, inspect, ...
        return
    plain = "worker" in names
    if plain or any(re.search(r"(^|[-_.])(celery|celeryd|worker)s?([-_.]|$)", name) for name in names):
        if any(re.search(r"beat|scheduler|flower", name) for name in names) and not plain:
            yield from _beat_wrapper(names)
            return
        yield _worker_wrapper(options, variables)
    else:
        yield from _beat_wrapper(names)


def _beat_wrapper(names: list[str]) -> Iterator[Invocation]:
    if "beat" in names or any(re.fullmatch(r"(start[-_])?celery[-_]?beat(\.sh)?", name) for name in names):
        yield Invocation("beat", certain=False)


def _worker_wrapper(options: Mapping[str, str], variables: Mapping[str, str]) -> Invocation:
    queues, is_open = _queues(options)
    if queues is None:
        said = [value for name, value in variables.items() if QUEUES_VARIABLE.fullmatch(name) and value]
        queues, is_open = queue_names(said[0]) if said else (None, True)
    concurrency = options.get("-c", options.get("--concurrency"))
    if concurrency is None:
        concurrency = next((value for name, value in variables.items() if CONCURRENCY_VARIABLE.fullmatch(name)), None)
    return Invocation(
        "worker", queues=queues or (), is_open=is_open or not queues, concurrency=whole(concurrency), certain=False
    )
