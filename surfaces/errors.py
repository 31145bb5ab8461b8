"""Why generated files cannot be written."""


class SurfaceError(ValueError):
    """A file that is written only in part cannot take its lines; the message names it."""
