"""Reads a checkout with every reader, and puts their facts together.

A file that cannot be read is told, and the others are read all the same.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from surfaces.audit import compose, dockerfile, kubernetes, procfile, python_code, recipes, supervision, terraform
from surfaces.audit.helm import Charts
from surfaces.audit.kubernetes import Object
from surfaces.audit.kustomize import Kustomizations
from surfaces.audit.model import Beat, Code, Drain, Facts, Location, Scaler, Surface, Unit, Unreadable
from surfaces.audit.scripts import Scripts
from surfaces.audit.texts import word_set
from surfaces.audit.walk import Checkout, is_aside
from surfaces.audit.workers import of_unit
from surfaces.audit.yaml_lines import YamlError, documents, is_template


@dataclass
class _Gathered:
    """What was found so far."""

    scripts: Scripts
    drains: list[Drain] = field(default_factory=list)
    beats: list[Beat] = field(default_factory=list)
    scalers: list[Scaler] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)

    def add(self, units: Iterable[Unit]) -> None:
        """Add what units start."""
        for unit in units:
            drains, beats = of_unit(unit, self.scripts.finder(unit.folder))
            self.drains.extend(drains)
            self.beats.extend(beats)

    def add_objects(self, found: list[Object], surface: Surface) -> None:
        """Add what Kubernetes' objects start and scale."""
        self.add(kubernetes.units(found, surface))
        self.scalers.extend(kubernetes.scalers(found, surface))


def facts(files: Checkout) -> Facts:
    """Return all that is known of a checkout."""
    unreadable = _preloaded(files)
    dockerfiles = dockerfile.read(files)
    found = _Gathered(Scripts(files, dockerfiles))
    found.unreadable.extend(unreadable)
    yaml_files = [path for path in files.paths if path.endswith((".yaml", ".yml"))]
    _compose(files, dockerfiles, found, yaml_files)
    _clusters(files, found, yaml_files)
    for units in (procfile.units, supervision.supervisor_units, supervision.systemd_units, terraform.units):
        found.add(units(files))
    found.add(dockerfiles.units())
    code, broken = _code(files)
    by_hand = (recipes.of_makefiles(files), recipes.of_scripts(files, found.scripts.used), recipes.of_code(code))
    for drains, beats in by_hand:
        found.drains.extend(drains)
        found.beats.extend(beats)
    read = {drain.location.path for drain in found.drains} | {drain.unit.location.path for drain in found.drains}
    found.drains.extend(recipes.elsewhere(files, read))
    return Facts(
        code=code,
        drains=tuple(found.drains),
        beats=tuple(found.beats),
        scalers=tuple(found.scalers),
        unreadable=tuple(sorted(set(found.unreadable) | set(broken), key=lambda item: item.location)),
        files=len(files.paths),
        read=len(files.texts),
    )


# Endings of files that no reader opens, whatever they hold.
_NEVER = tuple(
    word_set(
        ".png .jpg .jpeg .gif .svg .ico .woff .woff2 .ttf .pdf .zip .gz .whl .mp4 .js .ts .tsx .jsx .css .scss .html "
        ".md .rst .po .mo .lock .csv .sql .pyc"
    )
)


def _preloaded(files: Checkout) -> list[Unreadable]:
    """Read every file that a reader may open, and take away those that cannot be read."""
    unreadable = []
    for path in list(files.paths):
        if path.endswith(_NEVER):
            continue
        try:
            files.bytes_of(path)
        except OSError as error:
            files.paths.remove(path)
            if path.endswith((".py", ".yaml", ".yml")) or path.rpartition("/")[2].startswith("Dockerfile"):
                unreadable.append(Unreadable(Location(path), error.strerror or str(error)))
    return unreadable


def _compose(files: Checkout, dockerfiles: dockerfile.Dockerfiles, found: _Gathered, paths: list[str]) -> None:
    reader = compose.ComposeReader(files, dockerfiles)
    found.add(reader.units([path for path in paths if compose.matters(path, files.bytes_of(path))]))
    found.unreadable.extend(reader.unreadable)


def _clusters(files: Checkout, found: _Gathered, paths: list[str]) -> None:
    """Add charts, Kustomize trees, and the manifests that neither has."""
    charts, trees = Charts(files), Kustomizations(files)
    for surface, objects, unknown in charts.surfaces():
        found.add_objects(objects, surface)
        found.add(unknown)
    for surface, objects in trees.surfaces():
        found.add_objects(objects, surface)
    by_surface: dict[Surface, list[Object]] = {}
    for path in paths:
        if path not in trees.taken and not charts.holds(path):
            for item in _manifest(files, path, found):
                by_surface.setdefault(kubernetes.plain_surface(path), []).append(item)
    for surface, objects in by_surface.items():
        found.add_objects(objects, surface)
    found.unreadable.extend([*charts.unreadable, *trees.unreadable])


def _manifest(files: Checkout, path: str, found: _Gathered) -> Iterator[Object]:
    raw = files.bytes_of(path)
    if b"apiVersion:" not in raw or b"kind:" not in raw or not any(mark in raw for mark in kubernetes.MARKS):
        return
    try:
        yield from kubernetes.objects(documents(files.text(path)), path)
    except YamlError as error:
        if not is_template(files.text(path)):
            found.unreadable.append(Unreadable(Location(path, error.line), f"no YAML: {error}"))


def _code(files: Checkout) -> tuple[Code, list[Unreadable]]:
    every = [path for path in files.paths if path.endswith(".py")]
    ours = [path for path in every if not is_aside(path)]
    read: Callable[[str], bytes] = files.bytes_of
    return python_code.read([path for path in ours if python_code.matters(files.bytes_of(path))], read, ours)
