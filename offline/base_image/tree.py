"""Turns the unpacked Debian packages of one architecture into the files of the stand-in base.

Nothing of the other architecture is ever run, so no maintainer script is either: what they would have made (user
table, certificate bundle, name service) is made here. Documentation, translations, package managers and their
caches are left out: the images have none of them on Wolfi.
"""

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

from offline.base_image.oci import Entry, file_entry, folder_entry

USER = 65532
BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_ROOTS = "usr/share/ca-certificates/mozilla/"
_USERS = "usr/share/base-passwd/passwd.master"
_GROUPS = "usr/share/base-passwd/group.master"

_LEFT_OUT = re.compile(
    r"usr/share/(doc|man|locale|info|lintian|bug|bash-completion|doc-base|python-wheels|perl5?|common-licenses|debianutils"
    r"|ca-certificates|base-passwd|menu|pixmaps|applications|apport)(/|$)"
    r"|usr/lib/[^/]+/(gconv|perl-base|engines-3|ossl-modules)(/|$)"
    r"|usr/lib/python3[^/]*/(ensurepip|idlelib|pydoc_data|test|turtledemo|lib2to3)(/|$)"
    r"|usr/s?bin/(apt|dpkg|perl|tini-static|openssl|c_rehash|deb|update-|pager|install-)"
    r"|(usr/lib|var/lib|var/cache|etc|var/log)/(apt|dpkg|pam|cron|logrotate)[^/]*(/|$)"
    r"|(dev|proc|sys|boot)/."
)


def entries(unpacked: Path) -> Iterator[Entry]:
    """The files of the base image, from the tar that mmdebstrap wrote."""
    made_from: dict[str, bytes] = {}
    roots: dict[str, bytes] = {}
    with tarfile.open(unpacked) as tar:
        for info in tar:
            info.name = info.name.removeprefix("./").rstrip("/")
            if info.islnk():
                info.linkname = info.linkname.removeprefix("./")
            if info.name.startswith(_ROOTS) and info.isreg():
                roots[info.name] = _content(tar, info)
            elif info.name in {_USERS, _GROUPS}:
                made_from[info.name] = _content(tar, info)
            elif _wanted(info):
                yield info, _content(tar, info) if info.isreg() else None
    yield from _what_scripts_make(made_from, roots)


def _wanted(info: tarfile.TarInfo) -> bool:
    plain = info.isreg() or info.isdir() or info.issym() or info.islnk()
    return plain and info.name not in {"", "."} and not _LEFT_OUT.match(info.name)


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(info)
    return file.read() if file else b""


def _what_scripts_make(made_from: dict[str, bytes], roots: dict[str, bytes]) -> Iterator[Entry]:
    user = f"nonroot:x:{USER}:{USER}:nonroot:/home/nonroot:/bin/sh\n".encode()
    yield file_entry("etc/passwd", made_from[_USERS] + user)
    yield file_entry("etc/group", made_from[_GROUPS] + f"nonroot:x:{USER}:\n".encode())
    yield file_entry("etc/nsswitch.conf", b"passwd: files\ngroup: files\nhosts: files dns\n")
    yield file_entry(BUNDLE, b"\n".join(roots[name].strip() for name in sorted(roots)) + b"\n")
    yield folder_entry("home/nonroot", owner=USER)
    yield folder_entry("tmp", mode=0o1777)
