"""Reads what Redis replies, which is bytes or text as the client was made."""


def as_text(value: bytes | str) -> str:
    """Return a reply as text; a byte that is none becomes a mark."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
