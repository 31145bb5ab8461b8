"""Which environment variables a stack may not set for its pods, and which texts it may not write down."""

import re
from collections.abc import Mapping
from typing import Final

# What the program writes, and what the runtime would prefer to it. Other names that begin so are the application's.
FLEETS_OWN_VARIABLES: Final = frozenset(
    {"CELERY_APP", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "REDIS_BROKER"}
    | {
        f"ALPHASWARM_{name}"
        for name in (
            "API_ACCESS", "BROKER_CA", "BROKER_DB", "BROKER_HOST", "BROKER_PORT", "BROKER_TLS", "BROKER_URL",
            "BROKER_USER", "CONCURRENCY", "GRACE_PERIOD", "HEARTBEAT", "IMAGE", "LOG_FORMAT", "MAX_MEMORY_PER_CHILD",
            "MAX_TASKS_PER_CHILD", "METRICS_HOST", "METRICS_PORT", "QUEUES", "RESULT_BACKEND", "RESULT_DB", "SCALING",
            "SOFT_SHUTDOWN", "STATE_DIR", "TIME_LIMIT", "VISIBILITY_TIMEOUT",
        )
    }
)  # fmt: skip
# The images': without them neither the entry point nor a probe is found.
IMAGES_OWN_VARIABLES: Final = frozenset({"PATH", "PYTHONHOME"})
NUMBER: Final = (re.compile(r"[1-9][0-9]{0,8}"), "a whole number of at least 1")
# The runtime's that a stack may set; with another value its processes would not start.
RUNTIME_VARIABLES: Final[Mapping[str, tuple[re.Pattern[str], str]]] = {
    "ALPHASWARM_BEAT_CATCH_UP": NUMBER,
    "ALPHASWARM_BROKER_WAIT": NUMBER,
    "ALPHASWARM_LEASE": NUMBER,
    "ALPHASWARM_LOG_LEVEL": (
        re.compile(r"DEBUG|INFO|WARNING|ERROR|CRITICAL", re.IGNORECASE),
        "DEBUG, INFO, WARNING, ERROR or CRITICAL",
    ),
    "ALPHASWARM_MAX_DELIVERIES": NUMBER,
    "ALPHASWARM_RESTORE_INTERVAL": NUMBER,
    "ALPHASWARM_RESULT_WAIT": NUMBER,
}
TRACING_VARIABLES: Final = frozenset(
    {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"}
)
SECRET_NAME_ENDS: Final = re.compile(
    r"(^|_)(PG)?(PASSWORD|PASSWD|PASS|PWD|SECRET|API_?KEY|ACCESS_KEY|SECRET_KEY(_BASE)?|PRIVATE_KEY|FERNET_KEY)$",
    re.IGNORECASE,
)
TOKEN_NAME_ENDS: Final = re.compile(r"(^|_)TOKEN$", re.IGNORECASE)
TOKEN_VALUE: Final = re.compile(r"[\w.=+/-]{6,}")  # and not a word of a language model, such as </s>
PASSWORD_IN_URL: Final = re.compile(r"://[^/\s:@]*:[^/\s@]+@")
KNOWN_SECRETS: Final = re.compile(
    r"\b(AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|xox[bpas]-[A-Za-z0-9-]{10,}|[sr]k[-_][A-Za-z0-9_-]{16,}"
    r"|hf_[A-Za-z0-9]{16,}|glpat-[A-Za-z0-9_-]{16,})\b|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
# As libpq, Azure's connection strings and command lines write it; not the name of a file that holds one.
KEYED_PASSWORD: Final = re.compile(
    r"\b[\w-]*(password|passwd|accountkey|sharedaccesskey)=(?![/$])[^\s,;&\"']{3,}", re.IGNORECASE
)
REFERENCE: Final = re.compile(r"\$\((?P<name>[A-Za-z_][A-Za-z0-9_]*)\)")  # another variable's value
# A folder, such as that of PWD, a switch, or what stands for no password at all.
NO_SECRET: Final = re.compile(
    r"/[\w./-]*|[0-9]|true|false|yes|no|on|off|enabled|disabled|none|null|empty", re.IGNORECASE
)


def looks_secret(name: str, value: str) -> bool:
    """Return whether a plain variable seems to hold a secret: by its name, by a password in a URL, by its form."""
    written = REFERENCE.sub("", value)
    if not written:
        return False
    if SECRET_NAME_ENDS.search(name) is not None and not NO_SECRET.fullmatch(written):
        return True
    if TOKEN_NAME_ENDS.search(name) is not None and TOKEN_VALUE.fullmatch(written):
        return True
    return holds_secret(value)


def holds_secret(text: str) -> bool:
    """Return whether a text seems to hold a secret: by a password in a URL, or by its form."""
    written = REFERENCE.sub("", text)
    return any(pattern.search(written) is not None for pattern in (PASSWORD_IN_URL, KEYED_PASSWORD, KNOWN_SECRETS))
