"""The tail of a program's output, for the message that reports its failure: the reason mostly stands there."""


def tail(text: str, lines: int, *, indent: str = "") -> str:
    """Return the last lines, each after the indent; blank lines around the whole do not count."""
    return "\n".join(f"{indent}{line}" for line in text.strip().splitlines()[-lines:])
