"""The objects of a stack that a destroy left in the cluster: which, what holds them, and how to remove them by hand."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.cluster import Cluster

ANSWER_SECONDS = 5
NAMED_KIND = re.compile(r"(\S+?)\.? has \d+ resource instance")  # `pods. has 2 …`, `deployments.apps has 1 …`
WITHOUT_FINALIZERS = '{"metadata":{"finalizers":null}}'


@dataclass(frozen=True, order=True)
class Remaining:
    """One object, as the stack's state names it; `namespace` is empty for what has none."""

    namespace: str
    kind: str
    group: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}{'/' if self.namespace else ''}{self.name}"

    @property
    def word(self) -> str:
        """What kubectl calls it: `deployment.apps/redis`."""
        return f"{self.kind.lower()}{'.' if self.group else ''}{self.group}/{self.name}"


@dataclass(frozen=True)
class Held:
    """An object that is being deleted and does not end."""

    word: str
    namespace: str
    since: str
    reason: str


def remaining(resources: Sequence[Mapping[str, Any]]) -> list[Remaining]:
    """Return the cluster's objects of an exported state."""
    return sorted(
        _object(resource["type"], str(resource["id"]))
        for resource in resources
        if resource.get("custom") and resource.get("id") and str(resource["type"]).startswith("kubernetes:")
    )


def held(objects: Sequence[Remaining], cluster: Cluster, kubectl: Path) -> list[Held]:
    """Ask the cluster which of the objects, and which pods beside them, are being deleted and do not end.

    Returns:
        Nothing where the cluster does not answer within seconds.
    """
    found: dict[Held, None] = {}
    for namespace in sorted({one.namespace for one in objects}):
        words = [one.word for one in objects if one.namespace == namespace]
        items = _get(kubectl, cluster, namespace, *words)
        items += _get(kubectl, cluster, namespace, "pods") if namespace else []
        for item in items:
            if item["kind"] == "Namespace":
                items = [*items, *_content(kubectl, cluster, item)]
        found |= dict.fromkeys(_leaving(items))
    return list(found)


def commands(objects: Sequence[Remaining], stuck: Sequence[Held], reach: Sequence[str]) -> list[str]:
    """Return what a person types to remove the objects; `reach` names the cluster to kubectl."""
    typed = []
    for one in stuck:
        if one.word.startswith("pod/"):
            typed.append(_typed(reach, one.namespace, ("delete", one.word, "--force", "--grace-period=0")))
        elif one.namespace:  # a namespace ends once its content does
            typed.append(_typed(reach, one.namespace, _patch(one.word)))
    for namespace in sorted({one.namespace for one in objects}, reverse=True):
        words = [one.word for one in objects if one.namespace == namespace]
        typed.append(_typed(reach, namespace, ("delete", "--ignore-not-found", "--wait=false", *words)))
    return typed


def _patch(word: str) -> tuple[str, ...]:
    return ("patch", word, "--type=merge", "-p", WITHOUT_FINALIZERS)


def _typed(reach: Sequence[str], namespace: str, words: Sequence[str]) -> str:
    return shlex.join(["kubectl", *reach, *(["-n", namespace] if namespace else []), *words])


def _object(type_: str, ident: str) -> Remaining:
    """`kubernetes:apps/v1:Deployment` and `alphaswarm/redis`; the core group is `core` in a type, nothing elsewhere."""
    _, version, kind = type_.split(":")
    group = version.rpartition("/")[0]
    namespace, _, name = ident.rpartition("/")
    return Remaining(namespace, kind, "" if group == "core" else group, name)


def _get(kubectl: Path, cluster: Cluster, namespace: str, *words: str) -> list[dict[str, Any]]:
    reach = ("--kubeconfig", str(cluster.kubeconfig), "--context", cluster.context)
    within = ("-n", namespace) if namespace else ()
    bounded = ("get", f"--request-timeout={ANSWER_SECONDS}s", "--ignore-not-found", "-o", "json")
    command = [str(kubectl), *reach, *within, *bounded, *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=2 * ANSWER_SECONDS)
        found: dict[str, Any] = json.loads(done.stdout or "{}")
    except (subprocess.TimeoutExpired, ValueError):
        return []
    items: list[dict[str, Any]] = found.get("items", [found] if found else [])
    return items


def _content(kubectl: Path, cluster: Cluster, namespace: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a namespace that is being deleted waits for, of the kinds that it names: the state forgot some of it.

    An object whose deletion nobody awaits counts as gone, while a finalizer may still hold it.
    """
    kinds = dict.fromkeys(kind for said in _conditions(namespace) for kind in NAMED_KIND.findall(said))
    return _get(kubectl, cluster, namespace["metadata"]["name"], ",".join(kinds)) if kinds else []


def _leaving(objects: Sequence[dict[str, Any]]) -> Iterator[Held]:
    for item in objects:
        metadata = item["metadata"]
        if since := metadata.get("deletionTimestamp"):
            group = item["apiVersion"].rpartition("/")[0]
            namespace = metadata.get("namespace", "")
            one = Remaining(namespace, item["kind"], group, metadata["name"])
            yield Held(one.word, namespace, since, _reason(item))


def _reason(item: Mapping[str, Any]) -> str:
    """Return finalizers, what a namespace says of itself, or the node that should end a pod."""
    metadata, spec = item["metadata"], item.get("spec") or {}
    finalizers = [*(metadata.get("finalizers") or ()), *(spec.get("finalizers") or ())]
    said = _conditions(item) if item["kind"] == "Namespace" else []
    node = spec.get("nodeName")
    parts = (
        f"finalizers {', '.join(finalizers)}" if finalizers else "",
        f"node {node} has not confirmed its end" if node else "",
        *said,
    )
    return "; ".join(part for part in parts if part) or "no reason given"


def _conditions(item: Mapping[str, Any]) -> list[str]:
    conditions = (item.get("status") or {}).get("conditions") or ()
    return [str(one.get("message")) for one in conditions if one.get("status") == "True"]
