"""An engine's official release in place of a build: found in the cache, offered where its host answers, downloaded.

A host is asked once a run, and one that refuses is not asked again for a day. What is downloaded lies in the cache
under the engine's version and a hash of its row, whole or not at all, like what is built.
"""

import hashlib
import json
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from common import paths
from common.answer_cache import AnswerCache
from common.progress import Progress
from toolchain import golang
from toolchain.catalogue import Engine
from toolchain.download import ClosedError, UnavailableError, fetch, probe, published_digest
from toolchain.folders import placed
from toolchain.release_table import RELEASES, Asset
from toolchain.running import Running


def find(engine: Engine, command: str) -> Path | None:
    """Return the downloaded command, or None."""
    there = _folder(engine) / "bin" / command
    return there if there.exists() else None


class Offer:
    """Which engines' releases can be had from here."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._known: dict[str, bool] = {}

    def has(self, engine: Engine) -> bool:
        """Whether there is a release, and each host that has a part of it answers."""
        urls = [url for asset in RELEASES.get(engine.name, ()) for url in (asset.url, asset.checksums)]
        return bool(urls) and all(self._answers(url) for url in urls)

    def _answers(self, url: str) -> bool:
        host = _host(url)
        if host not in self._known:
            self._known[host] = _answer_cache().get(host) is not False and self._probed(url, host)
        return self._known[host]

    def _probed(self, url: str, host: str) -> bool:
        try:
            probe(url)
        except ClosedError as refused:
            _answer_cache().put(host, reachable=False)
            self._progress.say(f"      no releases from {host}: {refused}; tried again tomorrow")
            return False
        return True


def download(engine: Engine, progress: Progress, running: Running, *, count: str = "") -> None:
    """Download the release unless it is there.

    Raises:
        UnavailableError: a file of it cannot be had; its module can be built instead.
        CommandError: a file is not the one that was published.
    """
    with placed(_folder(engine), progress, running) as partial:
        if partial is None:
            return
        label = f"downloading {engine.name} {engine.version}" + (f" ({count})" if count else "")
        with progress.step(label, usual="seconds to 1 min"):
            (partial / "bin").mkdir()
            for asset in RELEASES[engine.name]:
                _take(asset, _words(engine), partial, running)


def _take(asset: Asset, words: Mapping[str, str], folder: Path, running: Running) -> None:
    url, file = asset.url.format_map(words), folder / "file"
    digest = asset.digests.get(f"{words['os']}-{words['arch']}") or published_digest(
        asset.checksums.format_map(words), url.rpartition("/")[2]
    )
    _fetch(url, digest, file, running)
    wanted = {name: place.format_map(words) for name, place in asset.commands.items()}
    if "" in wanted.values():
        (name,) = wanted
        file.rename(folder / "bin" / name)
        (folder / "bin" / name).chmod(0o755)
        return
    _unpack(file, wanted, asset.extras, folder / "bin")
    file.unlink()


def _fetch(url: str, digest: str, file: Path, running: Running) -> None:
    """Try a broken connection once more, and remember a host that is closed by now."""
    try:
        fetch(url, digest, file, running)
    except UnavailableError:
        try:
            fetch(url, digest, file, running)
        except ClosedError:
            _answer_cache().put(_host(url), reachable=False)
            raise


def _unpack(archive: Path, wanted: Mapping[str, str], extras: Sequence[str], target: Path) -> None:
    """Write only the files that are named, under names of ours: no path of the archive is believed."""
    named = {**{Path(place).name: place for place in extras}, **wanted}
    with tarfile.open(archive) as tar:
        members = {member.name.removeprefix("./"): member for member in tar if member.isfile()}
        for name, place in named.items():
            content = tar.extractfile(members[place]) if place in members else None
            if content is not None:
                with (target / name).open("wb") as out:
                    shutil.copyfileobj(content, out)
                (target / name).chmod(0o755)
            elif name in wanted:
                raise UnavailableError(f"the release has no {place}")


def _folder(engine: Engine) -> Path:
    row = json.dumps([[asset.url, asset.checksums, dict(asset.digests)] for asset in RELEASES.get(engine.name, ())])
    mark = hashlib.sha256(f"{golang.platform_name()}{row}".encode()).hexdigest()[:16]
    return paths.cache() / "tools" / f"{engine.name}-{engine.version}-release-{mark}"


def _words(engine: Engine) -> dict[str, str]:
    system, machine = golang.platform_name()
    return {
        "version": engine.version,
        "os": system,
        "arch": machine,
        "x64": {"amd64": "x64"}.get(machine, machine),
    }


def _host(url: str) -> str:
    return urlsplit(url).netloc


def _answer_cache() -> AnswerCache:
    return AnswerCache(paths.this_checkout().state / "release-hosts.json")
