"""copy_source_tree.py SOURCE TARGET: copies an application's source tree, without hidden files and bytecode.

Hidden are files such as `.env`, which may hold secrets, and folders such as `.git` and `.venv`. The rest is for the
application's `.dockerignore` to say.
"""

import shutil
import sys


def main(source: str, target: str) -> None:
    """Copy the tree; symbolic links stay what they are."""
    shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns(".*", "__pycache__", "*.py[co]"))


if __name__ == "__main__":
    main(*sys.argv[1:])
