"""How the parts that start servers get their programs: at once, or from those that are had in the background."""

from collections.abc import Callable, Mapping
from pathlib import Path

from common.progress import Progress
from toolchain import ensure

Tools = Callable[..., Mapping[str, Path]]
"""Waits for the tools of the names it is given, and returns where each stands: `Background.wait` is one."""


def ensured(progress: Progress) -> Tools:
    """Have the tools when they are asked for."""

    def tools(*names: str) -> Mapping[str, Path]:
        return ensure(names, progress)

    return tools
