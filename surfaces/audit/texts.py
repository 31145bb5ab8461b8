"""Small readings of texts that several readers share."""

import re

from surfaces.audit.model import UNKNOWN

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|us|seconds?|secs?|s|minutes?|mins?|m|hours?|hr|h|days?|d)?")
_UNREAD = re.compile(rf"{UNKNOWN}|[$]|\{{\{{|%\(")  # a variable that nobody expanded
_FACTORS = {"u": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400}


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


# Words of a path or tag that say where or on what something runs, and not what it is.
CHANNELS = word_set(
    "latest stable main master dev devel develop development prod production staging stage stg test tests testing "
    "qa edge nightly local release beta alpha rc canary current next slim alpine bookworm bullseye buster debian "
    "ubuntu ci demo preview base default arm arm64 amd64 x86 cpu gpu cuda rocm swarm example sample template"
)
ENVIRONMENTS = {
    **dict.fromkeys(("dev", "devel", "develop", "development", "local", "debug", "devcontainer"), "dev"),
    **dict.fromkeys(("test", "tests", "testing", "ci", "e2e", "qa"), "test"),
    **dict.fromkeys(("staging", "stage", "stg", "preprod", "uat"), "staging"),
    **dict.fromkeys(("prod", "production", "live"), "prod"),
}


def seconds(text: object) -> float | None:
    """Return a duration's seconds: 30, "1m30s", "2 hours". None where it is none, or "infinity"."""
    if isinstance(text, bool):
        return None
    if isinstance(text, int | float):
        return float(text)
    if not isinstance(text, str) or not text.strip():
        return None
    total, rest = 0.0, text.strip().lower()
    while rest:
        match = _DURATION.match(rest)
        if match is None:
            return None
        unit = match[2] or "s"
        total += float(match[1]) * _FACTORS["ms" if unit == "ms" else unit[0]]
        rest = rest[match.end() :].strip()
    return total


def whole(text: object) -> int | None:
    """Return a whole number, from a number or its text."""
    if isinstance(text, bool):
        return None
    if isinstance(text, int):
        return text
    if isinstance(text, str) and re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return int(text)
    return None


def image_name(reference: str) -> str:
    """Return an image's name without registry, tag and digest; a tag that is a variant ("executor") stays."""
    reference = reference.split("@", maxsplit=1)[0].strip()
    path, _, tag = reference.rpartition(":") if ":" in reference.rpartition("/")[2] else (reference, "", "")
    name = path.rpartition("/")[2].strip(UNKNOWN + "-_. ") or path.replace(UNKNOWN, "?")
    variant = re.fullmatch(r"[A-Za-z]+([-_][A-Za-z]+)*", tag) is not None
    if variant and not CHANNELS & set(re.split("[-_]", tag.lower())):
        return f"{name}:{tag}"
    return name


def image_names(reference: str | None) -> frozenset[str]:
    """Return what an image is compared by: its name, or nothing where that is not known."""
    name = image_name(reference) if reference else "?"
    return frozenset() if name in ("", "?") else frozenset({f"image:{name}"})


def environment_of(path: str) -> str | None:
    """Return which environment a path is for, by its words: dev, test, staging, prod; None where it says none."""
    named = [ENVIRONMENTS[word] for word in re.split(r"[^a-z0-9]+", path.lower()) if word in ENVIRONMENTS]
    return named[-1] if named else None


def queue_names(text: str) -> tuple[tuple[str, ...], bool]:
    """Return the names of a list with commas, and whether some of it is unknown."""
    names = [name.strip().strip("'\"") for name in text.strip().strip("[]").split(",")]
    known = tuple(dict.fromkeys(name for name in names if name and not _UNREAD.search(name)))
    return known, any(_UNREAD.search(name) for name in names)


def shown(text: str) -> str:
    """Return a text for a message: what is unknown is a question mark."""
    return text.replace(UNKNOWN, "?")
