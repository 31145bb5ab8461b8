"""Compares two images that should be the same."""

import tarfile

from tests.images.built import BuiltImage


def difference(one: BuiltImage, other: BuiltImage) -> list[str]:
    """Return the files that differ, or else the keys of the configuration that do."""
    found = [key for key in sorted(one.image.keys() | other.image.keys()) if one.image.get(key) != other.image.get(key)]
    if one.image["rootfs"] == other.image["rootfs"]:
        return found
    for name in sorted(one.files.keys() | other.files.keys()):
        here, there = one.files.get(name), other.files.get(name)
        if here is None or there is None or _facts(here.info) != _facts(there.info) or here.head() != there.head():
            found.append(name)
    return found[:40]


def _facts(info: tarfile.TarInfo) -> tuple[object, ...]:
    return info.type, info.mode, info.uid, info.gid, info.size, info.mtime, info.linkname
