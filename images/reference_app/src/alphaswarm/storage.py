"""Where tasks keep files: two folders that a pod mounts, and an atomic way to replace a file in them."""

import os
from pathlib import Path


def data() -> Path:
    """Return the data folder: `ALPHASWARM_DATA_DIR`, else /app/data."""
    return Path(os.environ.get("ALPHASWARM_DATA_DIR", "/app/data"))


def models() -> Path:
    """Return the models folder, which only the executor has: `ALPHASWARM_MODELS_DIR`, else /app/models."""
    return Path(os.environ.get("ALPHASWARM_MODELS_DIR", "/app/models"))


def replace(file: Path, content: bytes) -> Path:
    """Replace the file atomically: a task may run a second time beside its first run."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
    partial.write_bytes(content)
    return partial.replace(file)
