"""Services of Compose files, as `docker compose config` would merge them: overrides, `extends`, `include`, variables.

Each file is a surface. `docker-compose.override.yml` is merged into its neighbour as Compose does by itself; another
file is taken for an override where a service of it has neither image nor build, and its neighbour's has.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from surfaces.audit import shell
from surfaces.audit.dockerfile import Command, Dockerfiles, find_stage, run
from surfaces.audit.model import Location, Surface, Unit, Unreadable
from surfaces.audit.texts import image_names, seconds, shown, whole
from surfaces.audit.walk import Checkout, folder_of, is_aside, joined
from surfaces.audit.yaml_lines import Mapping as Tree
from surfaces.audit.yaml_lines import Sequence, Text, YamlError, documents, get, is_template, line_of, mapping

DEFAULT_GRACE = 10.0  # seconds; Compose's stop_grace_period
MAX_EXTENDS = 10
_NAME = re.compile(r"(docker-)?compose[^/]*\.ya?ml$")
_BASE = re.compile(r"(docker-)?compose\.ya?ml$")
_OVERRIDE = re.compile(r"(docker-)?compose\.override\.ya?ml$")
_EXAMPLES = (".env", ".env.example", ".env.sample", ".env.template", ".env.dist", "env.example", "example.env")


@dataclass(frozen=True)
class Service:
    """A service, the file it stands in, and the line of its name."""

    name: str
    tree: Tree
    location: Location


def matters(path: str, raw: bytes) -> bool:
    """Whether a YAML file may be a Compose file."""
    if not path.endswith((".yml", ".yaml")):
        return False
    return b"services:" in raw and (b"image:" in raw or b"build:" in raw or bool(_NAME.search(path)))


class ComposeReader:
    """Reads all Compose files of a checkout."""

    def __init__(self, checkout: Checkout, dockerfiles: Dockerfiles) -> None:
        self.checkout = checkout
        self.dockerfiles = dockerfiles
        self.trees: dict[str, Tree] = {}
        self.unreadable: list[Unreadable] = []

    def units(self, paths: list[str]) -> Iterator[Unit]:
        """Yield every service of every surface."""
        files = [path for path in paths if self._tree(path)]
        for path in files:
            if not _OVERRIDE.search(path) or not self._base(path, files):
                yield from self._surface(path, files)

    def _tree(self, path: str) -> Tree:
        if path not in self.trees:
            self.trees[path] = self._parsed(path)
        return self.trees[path]

    def _parsed(self, path: str) -> Tree:
        if path not in self.checkout.paths:
            return Tree()
        try:
            found = documents(self.checkout.text(path))
        except YamlError as error:
            if is_template(self.checkout.text(path)):
                return Tree()
            self.unreadable.append(Unreadable(Location(path, error.line), f"no YAML: {error}"))
            return Tree()
        tree = mapping(found[0] if found else None)
        services = mapping(tree.get("services"))
        known = {"image", "build", "command", "extends", "environment", "entrypoint", "env_file", "deploy"}
        is_compose = any(isinstance(service, Tree) and known & set(service) for service in services.values())
        return tree if is_compose and "apiVersion" not in tree else Tree()

    def _base(self, path: str, files: list[str]) -> str | None:
        return next((other for other in files if folder_of(other) == folder_of(path) and _BASE.search(other)), None)

    def _surface(self, path: str, files: list[str]) -> Iterator[Unit]:
        services = self._services(path, 0)
        base = self._base(path, files)
        if base == path:
            for override in (
                other for other in files if _OVERRIDE.search(other) and folder_of(other) == folder_of(path)
            ):
                services = _merged(services, self._services(override, 0))
        elif base and self._is_override(services, self._services(base, 0)):
            services = _merged(self._services(base, 0), services)
        variables = self._variables(folder_of(path))
        workers_alone = all(re.search("worker|celery|beat|executor", name) for name in services)
        surface = Surface("compose", path, whole=not workers_alone, aside=is_aside(path))
        for service in services.values():
            yield self._unit(surface, service, variables)

    def _is_override(self, services: Mapping[str, Service], base: Mapping[str, Service]) -> bool:
        return any(
            name in base and not {"image", "build"} & set(service.tree) and {"image", "build"} & set(base[name].tree)
            for name, service in services.items()
        )

    def _services(self, path: str, depth: int) -> dict[str, Service]:
        tree = self._tree(path)
        services: dict[str, Service] = {}
        for other in _included(tree) if depth < MAX_EXTENDS else ():
            place = joined(folder_of(path), other)
            if place:
                services = _merged(services, self._services(place, depth + 1))
        own = mapping(tree.get("services"))
        for name, service in own.items():
            if isinstance(service, Tree):
                location = Location(path, line_of(own, name))
                services[name] = Service(name, self._extended(path, service, 0), location)
        return services

    def _extended(self, path: str, service: Tree, depth: int) -> Tree:
        extends = service.get("extends")
        if extends is None or depth > MAX_EXTENDS:
            return service
        name = extends if isinstance(extends, str) else get(extends, "service")
        other = get(extends, "file") if isinstance(extends, Tree) else None
        place = joined(folder_of(path), str(other)) if other else path
        base = get(self._tree(place or ""), "services", name)
        if not isinstance(base, Tree):
            return service
        return _merge(self._extended(place or path, base, depth + 1), service)

    def _variables(self, folder: str) -> dict[str, str]:
        """Return what `.env` beside the file says, or else the example that is copied to it."""
        for name in _EXAMPLES:
            path = f"{folder}/{name}" if folder else name
            if path in self.checkout.paths:
                return dotenv(self.checkout.text(path))
        return {}

    def _unit(self, surface: Surface, service: Service, variables: Mapping[str, str]) -> Unit:
        raw = service.tree
        tree = mapping(_interpolated(raw, variables))
        images, image, stage_command, environment, folder = self._image(tree, folder_of(service.location.path))
        environment.update(self._environment(tree, folder_of(service.location.path)))
        entrypoint, cmd = stage_command
        if "entrypoint" in tree:
            entrypoint, cmd = _words(tree.get("entrypoint")), None
        if "command" in tree:
            cmd = _words(tree.get("command"))
        grace = seconds(tree.get("stop_grace_period"))
        profiles = tree.get("profiles")
        replicas = whole(get(tree, "deploy", "replicas"))
        line = line_of(raw, "command") if "command" in raw else service.location.line
        return Unit(
            surface=surface,
            name=service.name,
            command=run(entrypoint, cmd),
            location=Location(service.location.path, line),
            image=image,
            images=images,
            environment=environment,
            grace=DEFAULT_GRACE if grace is None else grace,
            grace_is_default="stop_grace_period" not in tree,
            replicas=replicas if replicas is not None else whole(tree.get("scale")) or 1,
            profiles=frozenset(str(name) for name in profiles) if isinstance(profiles, list) else frozenset(),
            folder=folder,
        )

    def _image(
        self, tree: Tree, folder: str
    ) -> tuple[frozenset[str], str | None, tuple[Command, Command], dict[str, str], str]:
        """Return a service's image: its names, one for messages, its command, environment and Dockerfile's folder."""
        names, said = set(), None
        command: tuple[Command, Command] = (None, None)
        environment: dict[str, str] = {}
        reference, build = tree.get("image"), tree.get("build")
        if build is not None:
            context = joined(folder, str(build if isinstance(build, str) else build.get("context", ".")))
            file, target = str(get(build, "dockerfile") or "Dockerfile"), get(build, "target")
            path = joined(context or "", file) or file
            said = f"{path} target {target}" if target else path
            names.add(f"build:{said}")
            if stage := find_stage(self.dockerfiles.stages.get(path, []), str(target) if target else None):
                command, environment = (stage.entrypoint, stage.cmd), dict(stage.environment)
            folder = folder_of(path)
        if isinstance(reference, str):
            names.update(image_names(reference))
            said = shown(reference)
        return frozenset(names), said, command, environment, folder

    def _environment(self, tree: Tree, folder: str) -> dict[str, str]:
        found: dict[str, str] = {}
        files = tree.get("env_file")
        for entry in files if isinstance(files, list) else [files] if files else []:
            path = joined(folder, str(get(entry, "path") if isinstance(entry, Tree) else entry))
            if path and path in self.checkout.paths:
                found.update(dotenv(self.checkout.text(path)))
        return {**found, **pairs(tree.get("environment"))}


def dotenv(text: str) -> dict[str, str]:
    """Return the variables of a file with lines `NAME=value`."""
    found = {}
    for line in text.splitlines():
        match = re.match(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$", line)
        if match:
            value = match[2]
            quoted = re.match(r"(['\"])(.*?)\1", value)
            found[match[1]] = quoted[2] if quoted else re.sub(r"\s+#.*", "", value)
    return found


def pairs(value: object) -> dict[str, str]:
    """Return environment variables, from a mapping or from a list of `NAME=value`."""
    if isinstance(value, dict):
        return {str(name): _text(item) for name, item in value.items() if item is not None}
    found = {}
    for item in value if isinstance(value, list) else []:
        name, equals, text = str(item).partition("=")
        if equals:
            found[name] = text
    return found


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _words(value: object) -> Command:
    """Return a command's words; Compose itself splits a string as a shell does, and expands nothing more."""
    if isinstance(value, list):
        return tuple(_text(item) for item in value)
    if not isinstance(value, str):
        return None
    return value if re.search(r"&&|;|\|\||\$", value) else shell.split(value)


def _included(tree: Tree) -> list[str]:
    found: list[str] = []
    include = tree.get("include")
    for entry in include if isinstance(include, list) else [include] if isinstance(include, str) else []:
        path = get(entry, "path") if isinstance(entry, Tree) else entry
        found.extend(str(item) for item in (path if isinstance(path, list) else [path]) if item)
    return found


def _merged(base: Mapping[str, Service], over: Mapping[str, Service]) -> dict[str, Service]:
    merged = dict(base)
    for name, service in over.items():
        if name not in base:
            merged[name] = service
            continue
        location = service.location if "command" in service.tree else base[name].location
        merged[name] = Service(name, _merge(base[name].tree, service.tree), location)
    return merged


def _merge(base: Tree, over: Tree) -> Tree:
    """Merge as Compose does: commands are replaced, mappings merged, environments merged whatever their form."""
    merged = Tree(base)
    merged.line = over.line
    for key, value in over.items():
        tag = getattr(value, "tag", "")
        if tag == "!reset":
            merged.pop(key, None)
            continue
        merged.pop(key, None)  # the key's line is the override's
        merged[key] = value if tag == "!override" else _merged_value(key, base.get(key), value)
    return merged


def _merged_value(key: str, old: object, new: object) -> object:
    if key == "environment":
        return Tree({**pairs(old), **pairs(new)})
    return _merge(old, new) if isinstance(old, Tree) and isinstance(new, Tree) else new


def _interpolated(value: object, variables: Mapping[str, str]) -> object:
    """Return a tree with `${NAME:-default}` replaced in its texts; `$$` is a dollar for the container's shell."""
    if isinstance(value, Tree):
        made = Tree({key: _interpolated(item, variables) for key, item in value.items()})
        made.line = value.line
        return made
    if isinstance(value, Sequence):
        return Sequence(_interpolated(item, variables) for item in value)
    if isinstance(value, str) and "$" in value:
        parts = [shell.substitute(part, variables) for part in value.split("$$")]
        return Text("$".join(parts), line_of(value))
    return value
