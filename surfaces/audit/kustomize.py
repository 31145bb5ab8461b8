"""Kustomize trees, built as far as queues depend on it: resources, components, patches, images and replicas.

Only trees that no other tree takes in are surfaces. Prefixes, generators of Secrets and replacements change no queue
and are left out; a resource from another host is not there, so what it holds is not known.
"""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from surfaces.audit.kubernetes import Object, objects
from surfaces.audit.model import Location, Surface, Unreadable
from surfaces.audit.walk import Checkout, folder_of, is_aside, joined
from surfaces.audit.yaml_lines import Mapping as Tree
from surfaces.audit.yaml_lines import Sequence, YamlError, documents, get, is_template, mapping, mappings

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
MAX_DEPTH = 20
_KEYS = {"containers": "name", "initContainers": "name", "env": "name", "volumes": "name", "triggers": "name"}


@dataclass
class Kustomizations:
    """All trees of a checkout."""

    checkout: Checkout
    unreadable: list[Unreadable] = field(default_factory=list)
    parsed: dict[str, list[Any]] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)  # files that some tree has
    inner: set[str] = field(default_factory=set)  # folders that another tree takes in

    def surfaces(self) -> Iterator[tuple[Surface, list[Object]]]:
        """Yield each outermost tree with its objects."""
        roots = {folder_of(path): path for path in self.checkout.named(*NAMES)}
        for folder, path in roots.items():
            tree = self._kustomization(path)
            self.taken.add(path)
            for entry in self._entries(tree):
                place = joined(folder, entry)
                if place in roots:
                    self.inner.add(place)
        built = {folder: self._build(folder, 0) for folder in roots}
        for folder, found in built.items():
            kind = str(self._kustomization(roots[folder]).get("kind", ""))
            if folder not in self.inner and kind != "Component":
                yield Surface("kustomize", folder or ".", aside=is_aside(roots[folder])), found

    def documents(self, path: str) -> list[Any]:
        """Return a file's documents; a broken file has none, and is told."""
        if path not in self.parsed:
            try:
                self.parsed[path] = documents(self.checkout.text(path))
            except YamlError as error:
                self.parsed[path] = []
                if is_template(self.checkout.text(path)):
                    return []
                self.unreadable.append(Unreadable(Location(path, error.line), f"no YAML: {error}"))
        return self.parsed[path]

    def _kustomization(self, path: str) -> Tree:
        found = self.documents(path)
        return mapping(found[0] if found else None)

    def _entries(self, tree: Tree) -> list[str]:
        return [str(entry) for key in ("resources", "bases", "components") for entry in _list(tree.get(key))]

    def _build(self, folder: str, depth: int) -> list[Object]:
        path = next(
            (name for name in (f"{folder}/{each}" if folder else each for each in NAMES) if self._has(name)), ""
        )
        if not path or depth > MAX_DEPTH:
            return []
        tree = self._kustomization(path)
        found: list[Object] = []
        for key in ("resources", "bases", "components"):
            for entry in _list(tree.get(key)):
                self._take(folder, str(entry), key == "components", found, depth)
        for patch in self._patches(tree, folder):
            found = patch.applied(found)
        for item in found:
            _set_images(item, tree)
            _set_replicas(item, tree)
            if tree.get("namespace"):
                mapping(item.tree.get("metadata"))["namespace"] = tree["namespace"]
        return found

    def _has(self, path: str) -> bool:
        return path in self.checkout.texts or path in self.checkout.paths

    def _take(self, folder: str, entry: str, is_component: bool, found: list[Object], depth: int) -> None:
        place = joined(folder, entry) if "://" not in entry else None
        if place is None:
            return
        if place in self.checkout.paths:
            self.taken.add(place)
            found.extend(copy.deepcopy(list(objects(self.documents(place), place))))
        elif is_component:
            self._component(place, found, depth)
        else:
            found.extend(self._build(place, depth + 1))

    def _component(self, folder: str, found: list[Object], depth: int) -> None:
        """Add a component's objects, and apply its patches to all that is there already."""
        found.extend(self._build(folder, depth + 1))
        path = next((f"{folder}/{name}" for name in NAMES if self._has(f"{folder}/{name}")), "")
        for patch in self._patches(self._kustomization(path), folder) if path else ():
            found[:] = patch.applied(found)

    def _patches(self, tree: Tree, folder: str) -> Iterator["_Patch"]:
        for entry in mappings(tree.get("patches")) + mappings(tree.get("patchesJson6902")):
            body = entry.get("patch")
            place = joined(folder, str(entry["path"])) if entry.get("path") else None
            if isinstance(body, str):
                yield from self._read_patch(body, mapping(entry.get("target")))
            elif place and place in self.checkout.paths:
                self.taken.add(place)
                yield from _patches_of(self.documents(place), mapping(entry.get("target")))
        for text in _list(tree.get("patchesStrategicMerge")):
            place = joined(folder, str(text))
            if place and place in self.checkout.paths:
                self.taken.add(place)
                yield from _patches_of(self.documents(place), Tree())
            else:
                yield from self._read_patch(str(text), Tree())

    def _read_patch(self, body: str, target: Tree) -> Iterator["_Patch"]:
        try:
            yield from _patches_of(documents(body), target)
        except YamlError:
            return


@dataclass(frozen=True)
class _Patch:
    """A strategic merge (a mapping) or a list of JSON 6902 operations, and what it is for."""

    body: Any
    target: Tree

    def applied(self, found: list[Object]) -> list[Object]:
        kept = []
        for item in found:
            if not self._fits(item):
                kept.append(item)
            elif isinstance(self.body, Tree):
                if self.body.get("$patch") != "delete":
                    _merge(item.tree, self.body)
                    kept.append(item)
            else:
                for operation in mappings(self.body):
                    _operate(item.tree, operation)
                kept.append(item)
        return kept

    def _fits(self, item: Object) -> bool:
        wanted = self.target or {"kind": get(self.body, "kind"), "name": get(self.body, "metadata", "name")}
        kind, name = wanted.get("kind"), wanted.get("name")
        if kind and not re.fullmatch(str(kind), item.kind):
            return False
        try:
            return not name or re.fullmatch(f"(?:{name})", item.name) is not None
        except re.error:
            return str(name) == item.name


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _patches_of(trees: list[Any], target: Tree) -> Iterator[_Patch]:
    for tree in trees:
        if isinstance(tree, Tree | Sequence):
            yield _Patch(tree, target)


def _merge(base: Tree, over: Tree) -> None:
    for key, value in over.items():
        old = base.get(key)
        if value is None:
            base.pop(key, None)
        elif isinstance(old, Tree) and isinstance(value, Tree):
            _merge(old, value)
        elif isinstance(old, list) and isinstance(value, list) and key in _KEYS:
            _merge_list(old, value, _KEYS[key])
        elif not str(key).startswith("$"):
            base[key] = copy.deepcopy(value)


def _merge_list(base: list[Any], over: list[Any], key: str) -> None:
    for item in over:
        same = next((old for old in mappings(base) if get(item, key) and old.get(key) == get(item, key)), None)
        if same is None:
            base.append(copy.deepcopy(item))
        elif get(item, "$patch") == "delete":
            base.remove(same)
        else:
            _merge(same, item)


def _operate(tree: Tree, operation: Tree) -> None:
    """Apply one JSON 6902 operation; one that does not fit changes nothing."""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in str(operation.get("path", "")).split("/")[1:]]
    if not steps:
        return
    holder: Any = tree
    for step in steps[:-1]:
        holder = get(holder, int(step) if isinstance(holder, list) and step.isdecimal() else step)
    name, last = operation.get("op"), steps[-1]
    if isinstance(holder, Tree):
        if name in ("add", "replace"):
            holder[last] = operation.get("value")
        elif name == "remove":
            holder.pop(last, None)
    elif isinstance(holder, list):
        _operate_on_list(holder, str(name), last, operation.get("value"))


def _operate_on_list(holder: list[Any], name: str, last: str, value: object) -> None:
    if name == "add" and last == "-":
        holder.append(value)
    elif last.isdecimal() and int(last) <= len(holder):
        if name == "add":
            holder.insert(int(last), value)
        elif int(last) < len(holder):
            holder[int(last) : int(last) + 1] = (
                [value] if name == "replace" else [] if name == "remove" else [holder[int(last)]]
            )


def _set_images(item: Object, tree: Tree) -> None:
    names = {str(entry.get("name")): entry for entry in mappings(tree.get("images"))}
    for path in (("spec", "template", "spec"), ("spec", "jobTemplate", "spec", "template", "spec"), ("spec",)):
        for container in mappings(get(item.tree, *path, "containers")):
            reference = str(container.get("image", ""))
            bare = reference.split("@", maxsplit=1)[0]
            bare = bare.rpartition(":")[0] if ":" in bare.rpartition("/")[2] else bare
            if bare in names and names[bare].get("newName"):
                container["image"] = reference.replace(bare, str(names[bare]["newName"]), 1)


def _set_replicas(item: Object, tree: Tree) -> None:
    for entry in mappings(tree.get("replicas")):
        if str(entry.get("name")) == item.name and isinstance(item.tree.get("spec"), Tree):
            item.tree["spec"]["replicas"] = entry.get("count")
