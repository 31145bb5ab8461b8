"""Licences are read as their authors meant them, and in doubt an obligation counts."""

from typing import Any

import pytest

from tools.sbom.packages import Package, copyleft, lists_the_distribution, packages


@pytest.mark.parametrize(
    "licence",
    [
        "GPL-2.0-only", "GPL-3.0-or-later WITH GCC-exception-3.1", "LGPL-2.1-or-later", "AGPL-3.0-only", "MPL-2.0",
        "EPL-2.0", "CDDL-1.1", "EUPL-1.2", "SSPL-1.0", "CC-BY-SA-4.0", "GNU Lesser General Public License v3",
        "LGPL with exceptions", "Mozilla Public License 2.0", "GPL-2.0-only OR LGPL-2.1-only", "MIT AND MPL-2.0",
        "Apache-2.0 AND (MIT OR GPL-2.0-only)", "gpl-2+",
    ],
)  # fmt: skip
def test_a_licence_that_binds_is_flagged(licence: str) -> None:
    assert copyleft(licence), f"{licence} would reach customers unnoticed"


@pytest.mark.parametrize(
    "licence",
    [
        "MIT",
        "Apache-2.0",
        "BSD-3-Clause",
        "PSF-2.0",
        "ISC",
        "MIT OR GPL-2.0-only",
        "0BSD",
        "Zlib",
        "HPND",
        "BSD",
        "OFL",
    ],
)
def test_a_licence_that_asks_for_a_notice_only_is_not(licence: str) -> None:
    assert not copyleft(licence), f"{licence} hides those that do bind"


def component(name: str, found_by: str = "python-installed-package-cataloger", **more: object) -> dict[str, Any]:
    kind = {"apk-db-cataloger": "apk", "elf-binary-package-cataloger": "deb"}.get(found_by, "python")
    marks = [{"name": "syft:package:foundBy", "value": found_by}, {"name": "syft:package:type", "value": kind}]
    return {"name": name, "version": "1.0", "purl": f"pkg:{kind}/{name}@1.0", "properties": marks, **more}


def read(*components: dict[str, Any]) -> tuple[Package, ...]:
    return packages({"components": list(components)})


def test_every_way_to_declare_a_licence_is_read() -> None:
    declared = [{"license": {"id": "MIT"}}, {"license": {"name": "New\n  BSD"}}, {"expression": "ISC OR MIT"}]
    (package,) = read(component("thing", licenses=declared))
    assert package.licences == ("ISC OR MIT", "MIT", "New BSD")


def test_the_hash_of_a_text_is_no_licence() -> None:
    (package,) = read(component("thing", licenses=[{"license": {"name": f"sha256:{'a' * 64}"}}]))
    assert package.licences == (), "a reader would take it for known"


def test_what_is_no_package_is_not_counted() -> None:
    system = {"type": "operating-system", "name": "wolfi", "bom-ref": "os:wolfi"}
    assert [package.name for package in read(component("Beta"), system, component("alpha"))] == ["alpha", "Beta"]


def test_only_a_database_of_packages_makes_a_list_of_the_distributions_complete() -> None:
    from_notes = {"components": [component("libzstd", "elf-binary-package-cataloger")]}
    from_database = {"components": [component("libzstd", "apk-db-cataloger")]}
    assert not lists_the_distribution(from_notes), "a handful found by chance would pass for all of them"
    assert lists_the_distribution(from_database)
