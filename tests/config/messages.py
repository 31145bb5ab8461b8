"""Reads the message that refuses a configuration."""

import re


def told(message: str) -> dict[str, str]:
    """The message's lines by their key."""
    head, *lines = message.splitlines()
    assert re.fullmatch(
        r"The stack's configuration(, Pulumi\.\w+\.yaml,)? has \d+ errors?; nothing was changed\.", head
    )
    assert lines
    assert all(re.match(r'  fleet:([\w./-]|\[\d+\]|\["[^"]*"\])*: .', line) for line in lines), message
    pairs = [line.strip().partition(": ") for line in lines]
    return {key: text for key, _, text in pairs}
