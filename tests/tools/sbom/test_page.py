"""The page leads to what matters: what binds, what is unknown, and where the architectures differ."""

from tools.sbom.images import FleetImage, PlatformImage
from tools.sbom.packages import Package
from tools.sbom.page import page

DIGEST = f"sha256:{'1' * 64}"
PLATFORMS = ("linux/amd64", "linux/arm64")
IMAGE = FleetImage(
    "alphaswarm-worker",
    f"registry/alphaswarm-worker@{DIGEST}",
    tuple(PlatformImage("registry/alphaswarm-worker", DIGEST, platform) for platform in PLATFORMS),
)


def package(name: str, *licences: str, purl: str = "", kind: str = "python") -> Package:
    return Package(name, "1.0", kind, licences, purl or f"pkg:pypi/{name}@1.0")


def section(text: str, title: str) -> str:
    return text.split(f"\n## {title}\n", 1)[1].partition("\n## ")[0]


def test_what_binds_and_what_is_unknown_stand_in_sections_of_their_own() -> None:
    found = [package("free", "MIT"), package("bound", "MPL-2.0"), package("silent")]
    text = page(IMAGE, dict.fromkeys(PLATFORMS, found), complete=True)
    assert "| MPL-2.0 | 1 | bound 1.0 |" in section(text, "Copyleft")
    assert "free" not in section(text, "Copyleft")
    assert section(text, "No licence found").split() == ["-", "silent", "1.0"]
    rows = section(text, "All packages by licence")
    assert all(name in rows for name in ("free", "bound", "silent"))


def test_a_package_of_one_architecture_says_so_and_one_of_both_stands_once() -> None:
    both = [package("glibc", "LGPL-2.1-or-later", purl=f"pkg:apk/glibc?arch={arch}") for arch in ("x86_64", "aarch64")]
    found = {PLATFORMS[0]: [both[0]], PLATFORMS[1]: [both[1], package("torch", "BSD-3-Clause")]}
    rows = section(page(IMAGE, found, complete=True), "All packages by licence")
    assert "| LGPL-2.1-or-later | 1 | glibc 1.0 |" in rows
    assert "torch 1.0 (linux/arm64 only)" in rows


def test_a_list_that_lacks_the_distribution_admits_it_and_one_that_has_it_does_not() -> None:
    found = {PLATFORMS[0]: [package("free", "MIT")]}
    assert "Not complete" in page(IMAGE, found, complete=False)
    assert "Not complete" not in page(IMAGE, found, complete=True)


def test_a_licence_text_in_place_of_a_name_leaves_the_table_a_table() -> None:
    rows = section(page(IMAGE, {PLATFORMS[0]: [package("wordy", "Copyright | " * 200)]}, complete=True), "Copyleft")
    assert rows.strip() == "None."
    (row,) = [
        line
        for line in page(IMAGE, {PLATFORMS[0]: [package("wordy", "Copyright | " * 200)]}, complete=True).splitlines()
        if "wordy" in line
    ]
    assert row.count("|") == 4
    assert len(row) < 150
