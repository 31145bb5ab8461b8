"""An image's licences as a Markdown page: copyleft and unknown ones first, then all."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from tools.sbom.images import FleetImage
from tools.sbom.packages import Package

LONGEST = 80  # some packages declare the whole text as their licence's name


def page(image: FleetImage, found: Mapping[str, Sequence[Package]], *, complete: bool) -> str:
    """Write the page.

    Args:
        image: the image.
        found: its packages by platform.
        complete: whether the distribution's packages are among them.
    """
    everywhere = _platforms(found)
    bound = {package: where for package, where in everywhere.items() if package.copyleft}
    unknown = {package: where for package, where in everywhere.items() if not package.licences}
    count = len(found)
    parts = [
        f"# Licences in {image.name}",
        f"`{image.reference}`",
        " · ".join(f"{platform}: {_counted(of)}" for platform, of in sorted(found.items())),
        "What the packages themselves declare, as syft reads it from the files of the image. A library that a package "
        "brings inside it without saying so is not listed.",
        *([] if complete else [_INCOMPLETE]),
        "## Copyleft",
        _table(_by_licence(bound), count) if bound else "None.",
        "## No licence found",
        "\n".join(f"- {_entry(package, where, count)}" for package, where in unknown.items()) or "None.",
        "## All packages by licence",
        _table(_by_licence(everywhere), count),
    ]
    return "\n\n".join(parts) + "\n"


_INCOMPLETE = (
    "**Not complete:** the image has no database of its distribution's packages, so they are not listed here "
    "(the stand-in base has none; Wolfi does)."
)


def _platforms(found: Mapping[str, Sequence[Package]]) -> dict[Package, tuple[str, ...]]:
    where: dict[Package, list[str]] = defaultdict(list)
    for platform, packages in sorted(found.items()):
        for package in packages:
            where[_same_anywhere(package)].append(platform)
    ordered = sorted(where.items(), key=lambda item: (item[0].name.lower(), item[0]))
    return {package: tuple(dict.fromkeys(platforms)) for package, platforms in ordered}


def _same_anywhere(package: Package) -> Package:
    """Return the package without its purl, which names the architecture for a distribution's package."""
    return Package(package.name, package.version, package.kind, package.licences, "")


def _by_licence(found: Mapping[Package, tuple[str, ...]]) -> dict[str, dict[Package, tuple[str, ...]]]:
    rows: dict[str, dict[Package, tuple[str, ...]]] = defaultdict(dict)
    for package, where in found.items():
        for licence in package.licences or ("(none found)",):
            rows[licence][package] = where
    return rows


def _table(rows: Mapping[str, Mapping[Package, tuple[str, ...]]], platforms: int) -> str:
    lines = ["| licence | | packages |", "|---|---|---|"]
    for licence in sorted(rows, key=str.lower):
        listed = ", ".join(_entry(package, where, platforms) for package, where in rows[licence].items())
        lines.append(f"| {_short(licence)} | {len(rows[licence])} | {listed} |")
    return "\n".join(lines)


def _entry(package: Package, where: Iterable[str], platforms: int) -> str:
    only = list(where)
    mark = "" if len(only) == platforms else f" ({', '.join(only)} only)"
    return f"{package.name} {package.version}{mark}"


def _short(licence: str) -> str:
    plain = licence.replace("|", "/")
    return plain if len(plain) <= LONGEST else f"{plain[:LONGEST]}… (a text of its own)"


def _counted(packages: Sequence[Package]) -> str:
    kinds = ("distribution", "python", "other")
    counts = {kind: sum(package.kind == kind for package in packages) for kind in kinds}
    return f"{len(packages)} packages (" + ", ".join(f"{counts[kind]} {kind}" for kind in kinds) + ")"
