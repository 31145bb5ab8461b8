"""The one error this package shows to a person, as a sentence and without a traceback."""


class LocalError(Exception):
    """Says what was tried, why it cannot go on, and what to do next."""
