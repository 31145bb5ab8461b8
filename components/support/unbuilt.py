"""What a preview shows for a digest that only a build can tell."""

from typing import Final

UNBUILT: Final = "sha256:" + "0" * 64
