"""Stack `local` of a checkout that is up, the cluster and the account it stands in, and how tests look at them."""

import json
import re
from collections import Counter
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

from .checkout import IMAGES, Checkout, HeardEngine, Said

NAMESPACE = "alphaswarm"
KINDS = (
    "deployments,scaledobjects,triggerauthentications,poddisruptionbudgets,networkpolicies,serviceaccounts,services,"
    "secrets,resourcequotas,horizontalpodautoscalers"
)
DONE = re.compile(r"^ ([~+-]+) +(\S+) (\S+) (created|updated|deleted|replaced)\b", re.MULTILINE)

Objects = dict[str, dict[str, Any]]

Step = tuple[str, str, str]
"""What is done, to which kind, of which name: ("update", "ScaledObject", "alphaswarm-executor-agents")."""


@dataclass(frozen=True)
class Snapshot:
    """What stands, without what differs from one making to the next."""

    objects: Objects
    repositories: Objects
    resources: frozenset[str]


@dataclass
class Fleet:
    """One stack of one checkout, driven through LocalStack as `python -m local` drives it."""

    checkout: Checkout
    name: str = "local"
    _applied: str | None = None
    _heard: list[Said] = field(default_factory=list)

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
        heard = HeardEngine(engine.pulumi, paths, engine.path, engine.stand_ins, self._heard)
        return LocalStack(heard, self.name)

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
        """Write the stack's file, some sections otherwise, and hand it to the engine."""
        self.checkout.configure(self.name, **{"images": IMAGES, **sections})
        self.stack.configure(self.infrastructure.overrides(), self.infrastructure.services.redis.password)

    def pulumi(self, command: str, *arguments: str, **env: str) -> Said:
        self.stack.run(command, "--non-interactive", "--color", "never", *arguments, env=env)
        said = self._heard[-1]
        if command in ("up", "destroy"):
            self._applied = self._asked if command == "up" and said.status == 0 else None
        return said

    def up(self, *arguments: str) -> Said:
        return self.pulumi("up", "--yes", "--skip-preview", *arguments)

    def settle(self) -> None:
        """Bring the stack to what its committed file says, unless it is there."""
        self.configure()
        if self._applied != self._asked:
            self.up("--refresh").ok()

    def settled(self) -> None:
        """Say that the stack is as its file says."""
        self._applied = self._asked

    def unsettle(self) -> None:
        """Say that something else than this driver changes the fleet."""
        self._applied = None

    @property
    def _asked(self) -> str:
        return self.checkout.stack_file(self.name).read_text()

    def preview_steps(self, *arguments: str) -> set[Step]:
        """What a preview would do, by the engine's own JSON."""
        said = self.pulumi("preview", "--json", *arguments).ok()
        steps = json.loads(said.out)["steps"]
        return {(step["op"], *parts(step["urn"])) for step in steps if step["op"] not in ("same", "refresh", "read")}

    def state(self) -> list[dict[str, Any]]:
        """The resources in the state."""
        exported = json.loads(self.stack.engine.capture("stack", "export", "--stack", self.name, cwd=self.stack.folder))
        found: list[dict[str, Any]] = exported["deployment"].get("resources") or []
        return found

    def objects(self) -> Objects:
        """The fleet's objects in the cluster by kind and name, without what servers and controllers add.

        Where no pod ever becomes ready, an update does not wait for a deleted object to be gone: this does.
        """
        eventually(self._leaving, [])
        return {_key(item): _as_set(item) for item in self._ours()}

    def _leaving(self) -> list[str]:
        return [_key(item) for item in self._ours() if "deletionTimestamp" in item["metadata"]]

    def _ours(self) -> list[dict[str, Any]]:
        return [item for item in self.kubectl.get("-n", NAMESPACE, KINDS)["items"] if _is_ours(item)]

    def snapshot(self) -> Snapshot:
        return Snapshot(self.objects(), self.repositories(), frozenset(resource["urn"] for resource in self.state()))

    def repositories(self) -> dict[str, dict[str, Any]]:
        """The account's repositories, each with its lifecycle policy."""
        ecr = self.aws("ecr")
        found = ecr.describe_repositories()["repositories"]
        return {
            one["repositoryName"]: {
                **{key: one.get(key) for key in MEANT},
                "lifecycle": json.loads(
                    ecr.get_lifecycle_policy(repositoryName=one["repositoryName"])["lifecyclePolicyText"]
                ),
            }
            for one in found
        }


MEANT = (
    "imageTagMutability",
    "imageTagMutabilityExclusionFilters",
    "imageScanningConfiguration",
    "encryptionConfiguration",
)


def assert_same(found: Snapshot, expected: Snapshot) -> None:
    """Fails with what differs, and not with all there is."""
    odd = found.resources ^ expected.resources
    assert not odd, f"in one state and not in the other: {sorted(odd)}"
    for here, there in ((found.objects, expected.objects), (found.repositories, expected.repositories)):
        differing = {key: (here.get(key), there.get(key)) for key in here | there if here.get(key) != there.get(key)}
        assert not differing, f"found and expected differ: {differing}"


def parts(urn: str) -> tuple[str, str]:
    """The kind and the name of a resource."""
    kinds, name = urn.split("::")[2:4]
    return kinds.rpartition(":")[2], name


def done(said: Said) -> set[Step]:
    """What an up did, by the lines it prints; components, which are only bookkeeping, left out."""
    verbs = {"created": "create", "updated": "update", "deleted": "delete", "replaced": "replace"}
    found = {(verbs[verb], kind.rpartition(":")[2], name) for _, kind, name, verb in DONE.findall(said.out)}
    return {step for step in found if step[1] != "Stack"}


def counted(steps: set[Step]) -> Counter[str]:
    return Counter(kind for _, kind, _ in steps)


def _key(item: dict[str, Any]) -> str:
    return f"{item['kind']}/{item['metadata']['name']}"


def _is_ours(item: dict[str, Any]) -> bool:
    """The namespace also holds what Kubernetes and KEDA put there: the default account, the autoscalers."""
    return item["metadata"]["name"] != "default" and not item["metadata"].get("ownerReferences")


def _as_set(item: dict[str, Any]) -> dict[str, Any]:
    spec = {key: _said(value) for key, value in item.get("spec", {}).items() if key not in CONTROLLERS_OWN}
    labels = {key: value for key, value in item["metadata"].get("labels", {}).items() if key not in CONTROLLERS_OWN}
    kept: dict[str, Any] = {key: item[key] for key in ("data", "type", "secrets") if key in item}
    return {"labels": labels, "spec": spec, **kept}


def _said(value: Any) -> Any:  # noqa: ANN401 any JSON
    """Without what is false: KEDA writes its objects back without it."""
    if isinstance(value, dict):
        return {key: _said(inner) for key, inner in value.items() if inner is not False}
    return [_said(inner) for inner in value] if isinstance(value, list) else value


CONTROLLERS_OWN = ("replicas", "clusterIP", "clusterIPs", "scaledobject.keda.sh/name")
