"""Turns the unpacked Debian packages of one architecture into the files of the stand-in base.

Nothing of another architecture is run, so no maintainer script is either: what they would write (user table,
certificate bundle, name service) is written here. Documentation, translations, package managers and their caches
are excluded: on Wolfi the images have none of them.
"""

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

from offline.base_image.oci import Entry, file_entry, folder_entry

USER = 65532
BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_CERTIFICATES = "usr/share/ca-certificates/mozilla/"
_USERS = "usr/share/base-passwd/passwd.master"
_GROUPS = "usr/share/base-passwd/group.master"

_EXCLUDED = re.compile(
    r"usr/share/(doc|man|locale|info|lintian|bug|bash-completion|doc-base|python-wheels|perl5?|common-licenses|debianutils"
    r"|ca-certificates|base-passwd|menu|pixmaps|applications|apport)(/|$)"
    r"|usr/lib/[^/]+/(gconv|perl-base|engines-3|ossl-modules)(/|$)"
    r"|usr/lib/python3[^/]*/(ensurepip|idlelib|pydoc_data|test|turtledemo|lib2to3)(/|$)"
    r"|usr/s?bin/(apt|dpkg|perl|tini-static|openssl|c_rehash|deb|update-|pager|install-)"
    r"|(usr/lib|var/lib|var/cache|etc|var/log)/(apt|dpkg|pam|cron|logrotate)[^/]*(/|$)"
    r"|(dev|proc|sys|boot)/."
)


def entries(unpacked: Path) -> Iterator[Entry]:
    """Yield the files of the base image.

    Args:
        unpacked: the tar that mmdebstrap wrote.
    """
    templates: dict[str, bytes] = {}
    certificates: dict[str, bytes] = {}
    with tarfile.open(unpacked) as tar:
        for info in tar:
            info.name = info.name.removeprefix("./").rstrip("/")
            if info.islnk():
                info.linkname = info.linkname.removeprefix("./")
            if info.name.startswith(_CERTIFICATES) and info.isreg():
                certificates[info.name] = _content(tar, info)
            elif info.name in {_USERS, _GROUPS}:
                templates[info.name] = _content(tar, info)
            elif _included(info):
                yield info, _content(tar, info) if info.isreg() else None
    yield from _maintainer_script_files(templates, certificates)


def _included(info: tarfile.TarInfo) -> bool:
    plain = info.isreg() or info.isdir() or info.issym() or info.islnk()
    return plain and info.name not in {"", "."} and not _EXCLUDED.match(info.name)


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(info)
    return file.read() if file else b""


def _maintainer_script_files(templates: dict[str, bytes], certificates: dict[str, bytes]) -> Iterator[Entry]:
    user = f"nonroot:x:{USER}:{USER}:nonroot:/tmp:/bin/sh\n".encode()
    yield file_entry("etc/passwd", templates[_USERS] + user)
    yield file_entry("etc/group", templates[_GROUPS] + f"nonroot:x:{USER}:\n".encode())
    yield file_entry("etc/nsswitch.conf", b"passwd: files\ngroup: files\nhosts: files dns\n")
    yield file_entry(BUNDLE, b"\n".join(certificates[name].strip() for name in sorted(certificates)) + b"\n")
    yield folder_entry("home/nonroot", owner=USER)
    yield folder_entry("tmp", mode=0o1777)
