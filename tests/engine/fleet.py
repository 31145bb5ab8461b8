"""Stack `local` of a checkout that is up, with its cluster and its AWS account, as tests use and read them."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import boto3

from local.cluster import find_cluster
from local.engine import find_engine
from local.infrastructure import Infrastructure
from local.ports import Ports
from local.services.factory import find_services
from local.stack import LocalStack
from tests.embedded import Kubectl
from tests.waiting import eventually
from toolchain import find

from .checkout import IMAGES, Checkout, CommandResult, RecordingEngine

NAMESPACE = "alphaswarm"
KINDS = (
    "deployments,scaledobjects,triggerauthentications,poddisruptionbudgets,networkpolicies,serviceaccounts,services,"
    "secrets,resourcequotas,horizontalpodautoscalers"
)
APPLIED_LINE = re.compile(r"^ ([~+-]+) +(\S+) (\S+) (created|updated|deleted|replaced)\b", re.MULTILINE)

Objects = dict[str, dict[str, Any]]

Step = tuple[str, str, str]
"""Operation, kind and name: ("update", "ScaledObject", "alphaswarm-executor-agents")."""


@dataclass(frozen=True)
class Snapshot:
    """Objects, repositories and resources, without what differs each time they are created."""

    objects: Objects
    repositories: Objects
    resources: frozenset[str]


@dataclass
class Fleet:
    """One stack of one checkout, driven through LocalStack as `python -m local` drives it."""

    checkout: Checkout
    name: str = "local"
    _applied: str | None = None
    _results: list[CommandResult] = field(default_factory=list)

    @property
    def infrastructure(self) -> Infrastructure:
        paths = self.checkout.paths
        ports = Ports(paths.run / "ports.json")
        return Infrastructure(find_services(paths, ports), find_cluster(paths, ports), None)

    @property
    def stack(self) -> LocalStack:
        paths = self.checkout.paths
        engine = find_engine(paths)
        assert engine is not None, "there is no Pulumi CLI here; `python -m toolchain --group default` builds it"
        recording = RecordingEngine(engine.pulumi, paths, engine.path, engine.stand_ins, self._results)
        return LocalStack(recording, self.name)

    @property
    def kubectl(self) -> Kubectl:
        program = find("kubectl")
        assert program is not None
        cluster = self.infrastructure.cluster
        return Kubectl(program, cluster.kubeconfig, cluster.context or "")

    def aws(self, service: str) -> Any:  # noqa: ANN401 boto3 has no types
        client: Any = boto3.client  # its stubs spell out every service
        return client(
            service,
            endpoint_url=self.infrastructure.services.aws.endpoint,
            region_name="eu-central-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def configure(self, **sections: object) -> None:
        """Write the stack's file with these sections changed, and configure the engine with it."""
        self.checkout.configure(self.name, **{"images": IMAGES, **sections})
        self.stack.configure(self.infrastructure.overrides(), self.infrastructure.services.redis.password)

    def pulumi(self, command: str, *arguments: str, **env: str) -> CommandResult:
        self.stack.run(command, "--non-interactive", "--color", "never", *arguments, env=env)
        result = self._results[-1]
        if command in ("up", "destroy"):
            self._applied = self._stack_file_text if command == "up" and result.status == 0 else None
        return result

    def up(self, *arguments: str) -> CommandResult:
        return self.pulumi("up", "--yes", "--skip-preview", *arguments)

    def restore(self) -> None:
        """Update the stack to its committed file, unless that is what was applied last."""
        self.configure()
        if self._applied != self._stack_file_text:
            self.up("--refresh").ok()

    def mark_restored(self) -> None:
        """Note that the stack is as its file says."""
        self._applied = self._stack_file_text

    def mark_changed(self) -> None:
        """Note that something else than this driver changes the fleet."""
        self._applied = None

    @property
    def _stack_file_text(self) -> str:
        return self.checkout.stack_file(self.name).read_text()

    def preview_steps(self, *arguments: str) -> set[Step]:
        """Return the steps of a preview, from the engine's JSON."""
        result = self.pulumi("preview", "--json", *arguments).ok()
        steps = json.loads(result.out)["steps"]
        return {
            (step["op"], *kind_and_name(step["urn"])) for step in steps if step["op"] not in ("same", "refresh", "read")
        }

    def state(self) -> list[dict[str, Any]]:
        """Return the resources in the state."""
        exported = json.loads(self.stack.engine.capture("stack", "export", "--stack", self.name, cwd=self.stack.folder))
        found: list[dict[str, Any]] = exported["deployment"].get("resources") or []
        return found

    def objects(self) -> Objects:
        """Return the fleet's objects by kind and name, without what servers and controllers add.

        Where no pod ever becomes ready, an update does not wait until a deleted object is gone. This does.
        """
        eventually(self._being_deleted, [])
        return {_key(item): _desired(item) for item in self._ours()}

    def _being_deleted(self) -> list[str]:
        return [_key(item) for item in self._ours() if "deletionTimestamp" in item["metadata"]]

    def _ours(self) -> list[dict[str, Any]]:
        return [item for item in self.kubectl.get("-n", NAMESPACE, KINDS)["items"] if _is_ours(item)]

    def snapshot(self) -> Snapshot:
        return Snapshot(self.objects(), self.repositories(), frozenset(resource["urn"] for resource in self.state()))

    def repositories(self) -> dict[str, dict[str, Any]]:
        """Return the account's repositories, each with its lifecycle policy."""
        ecr = self.aws("ecr")
        found = ecr.describe_repositories()["repositories"]
        return {
            one["repositoryName"]: {
                **{key: one.get(key) for key in REPOSITORY_KEYS},
                "lifecycle": json.loads(
                    ecr.get_lifecycle_policy(repositoryName=one["repositoryName"])["lifecyclePolicyText"]
                ),
            }
            for one in found
        }


REPOSITORY_KEYS = (
    "imageTagMutability",
    "imageTagMutabilityExclusionFilters",
    "imageScanningConfiguration",
    "encryptionConfiguration",
)


def assert_same(found: Snapshot, expected: Snapshot) -> None:
    """Compare; the message has only what differs."""
    differing_urns = found.resources ^ expected.resources
    assert not differing_urns, f"in one state and not in the other: {sorted(differing_urns)}"
    for here, there in ((found.objects, expected.objects), (found.repositories, expected.repositories)):
        differing = {key: (here.get(key), there.get(key)) for key in here | there if here.get(key) != there.get(key)}
        assert not differing, f"found and expected differ: {differing}"


def kind_and_name(urn: str) -> tuple[str, str]:
    """Return the kind and the name of a resource."""
    kinds, name = urn.split("::")[2:4]
    return kinds.rpartition(":")[2], name


def applied_steps(result: CommandResult) -> set[Step]:
    """Return the steps of an update, from the lines that it prints, without the stack itself."""
    verbs = {"created": "create", "updated": "update", "deleted": "delete", "replaced": "replace"}
    found = {(verbs[verb], kind.rpartition(":")[2], name) for _, kind, name, verb in APPLIED_LINE.findall(result.out)}
    return {step for step in found if step[1] != "Stack"}


def _key(item: dict[str, Any]) -> str:
    return f"{item['kind']}/{item['metadata']['name']}"


def _is_ours(item: dict[str, Any]) -> bool:
    """Tell the fleet's objects from those that Kubernetes and KEDA create: the default account, the autoscalers."""
    return item["metadata"]["name"] != "default" and not item["metadata"].get("ownerReferences")


def _desired(item: dict[str, Any]) -> dict[str, Any]:
    spec = {key: _without_false(value) for key, value in item.get("spec", {}).items() if key not in SET_BY_CONTROLLERS}
    labels = {key: value for key, value in item["metadata"].get("labels", {}).items() if key not in SET_BY_CONTROLLERS}
    kept: dict[str, Any] = {key: item[key] for key in ("data", "type", "secrets") if key in item}
    return {"labels": labels, "spec": spec, **kept}


def _without_false(value: Any) -> Any:  # noqa: ANN401 any JSON
    """Leave out what is false: KEDA writes its objects back without it."""
    if isinstance(value, dict):
        return {key: _without_false(inner) for key, inner in value.items() if inner is not False}
    return [_without_false(inner) for inner in value] if isinstance(value, list) else value


SET_BY_CONTROLLERS = ("replicas", "clusterIP", "clusterIPs", "scaledobject.keda.sh/name")
