"""What a preview shows for a digest that is known only after the build."""

from typing import Final

PLACEHOLDER_DIGEST: Final = "sha256:" + "0" * 64
