"""Reads the Kustomize tree: what its Deployments drain, and what its ScaledObjects watch."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from surfaces.equal.model import Assignment, Pair, UnreadableError, amounts, parse_documents


def base(folder: Path) -> Iterator[Pair]:
    """Yield what the Deployments of a base drain, each all queues of its image."""
    for deployment in _objects(folder, "Deployment"):
        yield from _deployment(deployment, own=False)


def component(folder: Path) -> Iterator[Pair]:
    """Yield what the Deployments of the component drain, each one queue."""
    for deployment in _objects(folder, "Deployment"):
        yield from _deployment(deployment, own=True)


def scalers(folder: Path) -> Iterator[Pair]:
    """Yield whose Deployments the ScaledObjects scale by which lists; lists of other priorities belong to the first."""
    images = {one["metadata"]["name"]: _container(one)["image"] for one in _objects(folder, "Deployment")}
    for scaled in _objects(folder, "ScaledObject"):
        target = scaled["spec"]["scaleTargetRef"]["name"]
        lists = [trigger["metadata"].get("listName") for trigger in scaled["spec"]["triggers"]]
        if target not in images:
            raise UnreadableError(f"{scaled['metadata']['name']} scales {target!r}, and there is no such Deployment")
        yield str(lists[0]), Assignment(images[target])


def _objects(folder: Path, kind: str) -> Iterator[Mapping[str, Any]]:
    files = sorted(folder.rglob("*.yaml"))
    if not files:
        raise UnreadableError("there is no such folder")
    for file in files:
        for one in parse_documents(file.read_text()):
            if isinstance(one, dict) and one.get("kind") == kind:
                yield one


def _container(deployment: Mapping[str, Any]) -> Mapping[str, Any]:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    found: Mapping[str, Any] = container
    return found


def _deployment(deployment: Mapping[str, Any], *, own: bool) -> Iterator[Pair]:
    container = _container(deployment)
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}
    concurrency = int(environment.get("ALPHASWARM_CONCURRENCY") or 0) or None
    for queue in (environment.get("ALPHASWARM_QUEUES") or "").split(","):
        if queue:
            yield (
                queue,
                Assignment(
                    container["image"],
                    concurrency=None if own else concurrency,
                    own_concurrency=concurrency if own else None,
                    requests=amounts(container["resources"]["requests"]),
                    limits=amounts(container["resources"]["limits"]),
                    user=deployment["spec"]["template"]["spec"]["securityContext"]["runAsUser"],
                ),
            )
