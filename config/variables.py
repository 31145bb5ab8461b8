"""Which environment variables a stack may not set for its pods, and which texts it may not write down."""

import re
from typing import Final

FLEETS_OWN_PREFIX: Final = "ALPHASWARM_"
FLEETS_OWN_VARIABLES: Final = frozenset({"CELERY_APP", "REDIS_BROKER", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"})
TRACING_VARIABLES: Final = frozenset(
    {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"}
)
SECRET_NAME_ENDS: Final = re.compile(
    r"(^|_)(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|ACCESS_KEY|SECRET_KEY|PRIVATE_KEY)$", re.IGNORECASE
)
PASSWORD_IN_URL: Final = re.compile(r"://[^/\s:@]*:[^/\s@]+@")
KNOWN_TOKENS: Final = re.compile(r"\b(AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|xox[bpas]-[A-Za-z0-9-]{10,})\b")


def looks_secret(name: str, value: str) -> bool:
    """Return whether a plain variable seems to hold a secret: by its name, by a password in a URL, by its form."""
    if not value:
        return False
    patterns = (PASSWORD_IN_URL, KNOWN_TOKENS)
    return SECRET_NAME_ENDS.search(name) is not None or any(pattern.search(value) for pattern in patterns)
