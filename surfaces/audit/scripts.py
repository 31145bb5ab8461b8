"""Which shell script of the checkout a command's word means, also where a Dockerfile copied it to another name."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from surfaces.audit.commands import FindScript, Script
from surfaces.audit.dockerfile import Dockerfiles
from surfaces.audit.walk import Checkout, folder_of

MAX_SCRIPT = 200_000


@dataclass
class Scripts:
    """The scripts by their file's name."""

    checkout: Checkout
    dockerfiles: Dockerfiles
    by_name: dict[str, list[str]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for path in self.checkout.paths:
            self.by_name.setdefault(path.rpartition("/")[2], []).append(path)

    def finder(self, folder: str) -> FindScript:
        """Return a function that finds what a word means to a unit of that folder."""
        return lambda word: self.find(word, folder)

    def find(self, word: str, folder: str) -> Script | None:
        """Return the script, or None where there is none or several may be meant."""
        name = word.rpartition("/")[2]
        if not name or ("/" not in word and not name.endswith((".sh", ".bash")) and not self._is_copied(name)):
            return None
        candidates = list(self._copied(name, folder)) or self.by_name.get(name, [])
        scripts = [path for path in candidates if self._is_script(path)]
        if not scripts:
            return None
        nearest = max(_nearness(path, word, folder) for path in scripts)
        best = [path for path in scripts if _nearness(path, word, folder) == nearest]
        texts = {self.checkout.text(path) for path in best}
        if len(texts) > 1:
            return None
        self.used.update(best)
        return Script(best[0], texts.pop())

    def _is_copied(self, name: str) -> bool:
        return any(True for _ in self._copied(name, ""))

    def _copied(self, name: str, folder: str) -> Iterator[str]:
        """Yield the files that Dockerfiles copy to that name; only those of the folder's own if it copies one."""
        found: dict[bool, list[str]] = {True: [], False: []}
        for path, stages in self.dockerfiles.stages.items():
            for stage in stages:
                for source, destination in stage.copies:
                    if destination.rpartition("/")[2] == name and destination.rstrip("/") == destination:
                        found[folder_of(path) == folder].extend(self._sources(source))
        yield from dict.fromkeys(found[True] or found[False])

    def _sources(self, source: str) -> Iterator[str]:
        relative = str(PurePosixPath(source.lstrip("/"))).removeprefix("./")
        for path in self.by_name.get(relative.rpartition("/")[2], []):
            if path == relative or path.endswith(f"/{relative}"):
                yield path

    def _is_script(self, path: str) -> bool:
        raw = self.checkout.bytes_of(path)[:MAX_SCRIPT]
        first = raw.split(b"\n", 1)[0]
        return path.endswith((".sh", ".bash")) or (first.startswith(b"#!") and b"sh" in first)


def _nearness(path: str, word: str, folder: str) -> tuple[int, int]:
    """Return how many parts a script's path has in common with the word's end, and with the folder's beginning."""
    tail = 0
    for one, other in zip(reversed(path.split("/")), reversed(word.split("/")), strict=False):
        if one != other:
            break
        tail += 1
    head = 0
    for one, other in zip(path.split("/"), folder.split("/"), strict=False):
        if one != other:
            break
        head += 1
    return tail, head
