"""Files that only their owner reads: passwords, keys, and configuration that holds either."""

import os
import secrets
from pathlib import Path

from common.paths import private_folder


def write_private(file: Path, content: str | bytes) -> Path:
    """Write the file with mode 0600, complete or not at all, unless it would not change; return it."""
    data = content.encode() if isinstance(content, str) else content
    if file.exists() and file.read_bytes() == data and file.stat().st_mode & 0o777 == 0o600:
        return file
    private_folder(file.parent)
    partial = file.with_name(file.name + ".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(data)
    return partial.replace(file)


def persistent_secret(file: Path) -> str:
    """Return the secret in the file, which is generated the first time."""
    try:
        secret = file.read_text().strip()
    except FileNotFoundError:
        secret = ""
    if not secret:
        secret = secrets.token_urlsafe(32)
        write_private(file, secret)
    return secret
