"""The error that a command shows to a person: a sentence, without a traceback."""


class CommandError(Exception):
    """Say what was tried, why it cannot go on, and what to do next."""
