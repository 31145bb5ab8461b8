"""The end of what a program said, for the message that tells of its failure: the reason mostly stands there."""


def tail(said: str, lines: int, *, indent: str = "") -> str:
    """The last lines, each after the indent; blank lines around the whole do not count."""
    return "\n".join(f"{indent}{line}" for line in said.strip().splitlines()[-lines:])
