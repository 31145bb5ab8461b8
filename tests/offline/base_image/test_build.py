import io
import tarfile
from pathlib import Path

import pytest

from common.errors import CommandError
from offline.base_image import tree
from offline.base_image.build import _apt_options, _uv_pin, mirror

UNPACKED = {
    "./usr/share/base-passwd/passwd.master": b"root:x:0:0:root:/root:/bin/sh\n",
    "./usr/share/base-passwd/group.master": b"root:x:0:\n",
    "./usr/share/ca-certificates/mozilla/b.crt": b"second\n",
    "./usr/share/ca-certificates/mozilla/a.crt": b"first\n",
    "./usr/bin/python3.13": b"",
    "./usr/bin/tini": b"",
    "./usr/bin/apt-get": b"",
    "./usr/bin/dpkg": b"",
    "./usr/bin/perl": b"",
    "./usr/share/doc/tini/copyright": b"",
    "./usr/lib/python3.13/ensurepip/__init__.py": b"",
    "./usr/lib/python3.13/json/__init__.py": b"",
}


@pytest.fixture
def base(tmp_path: Path) -> dict[str, bytes | None]:
    unpacked = tmp_path / "amd64.tar"
    with tarfile.open(unpacked, "w") as tar:
        for name, data in UNPACKED.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return {info.name: data for info, data in tree.entries(unpacked)}


def test_the_base_has_the_images_user(base: dict[str, bytes | None]) -> None:
    assert b"nonroot:x:65532:65532:" in (base["etc/passwd"] or b"")
    assert b"nonroot:x:65532:" in (base["etc/group"] or b"")


def test_the_base_trusts_the_public_authorities_and_not_this_machines(base: dict[str, bytes | None]) -> None:
    assert base[tree.BUNDLE] == b"first\nsecond\n"


def test_the_base_has_an_interpreter_and_no_package_manager(base: dict[str, bytes | None]) -> None:
    assert {"usr/bin/python3.13", "usr/bin/tini", "usr/lib/python3.13/json/__init__.py"} <= base.keys()
    left = {name for name in base if name.startswith(("usr/bin/apt", "usr/bin/dpkg", "usr/bin/perl", "usr/share/doc"))}
    assert not left
    assert "usr/lib/python3.13/ensurepip/__init__.py" not in base, "a shell in a pod could install packages"


def test_debian_comes_from_where_this_machines_apt_takes_it() -> None:
    targets = "http://security.example/\tDebian-Security\tmain\nhttp://near.example/debian/\tDebian\tmain\n"
    assert mirror(targets) == "http://near.example/debian/"


def test_a_machine_whose_apt_names_no_mirror_is_told_so() -> None:
    with pytest.raises(CommandError, match="names no mirror of Debian"):
        mirror("")


def test_apt_reaches_its_mirror_as_this_machine_does() -> None:
    dump = 'Acquire::http::Proxy "http://proxy.example:3128";\nAcquire::Languages "none";\nDir::Cache "/x";\n'
    assert _apt_options(dump) == ['Acquire::http::Proxy "http://proxy.example:3128";']


def test_uv_is_the_one_that_is_pinned_with_hashes() -> None:
    pin = "uv==0.13.9 \\\n    --hash=sha256:2 \\\n    --hash=sha256:3\n"
    assert _uv_pin(f"urllib3==2.0 \\\n    --hash=sha256:1\n{pin}    # via -r x\n") == pin


def test_requirements_without_uv_are_refused_with_what_to_do() -> None:
    with pytest.raises(CommandError, match="make lock"):
        _uv_pin("urllib3==2.0\n")
