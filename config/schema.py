"""The model of a stack's file: frozen, validated by pydantic. A key's description is its documentation.

Units: durations are whole seconds, replicas are pods, storage sizes are Kubernetes quantities.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field, StrictBool, StrictInt
from pydantic_core import PydanticCustomError

from config.application import FOLDER_OR_COMMIT, PYTHON, REFERENCE_APPLICATION, Wanted
from config.broker import Broker, Port
from config.errors import Section
from config.pods import LabelName, LabelText, Pods, Toleration
from config.volumes import Volume
from queues import DEFAULT_SESSION_LEAD, EXECUTOR, IMAGES, SESSION_MARGIN_MAX, Image

PREFIX: Final = "fleet"
BROKER_PASSWORD: Final = "brokerPassword"  # noqa: S105 the key's name, not a password
NETRC: Final = "netrc"
GIT_TOKEN: Final = "gitToken"  # noqa: S105 the key's name
SECRET_KEYS: Final = frozenset({BROKER_PASSWORD, NETRC, GIT_TOKEN})

# Kubernetes wants a domain in the name of a resource that is not its own; a queue's quota stands on it too.
EXTENDED_RESOURCE: Final = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$"
DNS_LABEL: Final = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
LABEL_VALUE: Final = r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$"
ACCOUNT: Final = r"^[0-9]{12}$"
DIGEST_REFERENCE: Final = r"^([A-Za-z0-9][A-Za-z0-9.:-]*/)?[a-z0-9][a-z0-9./_-]*@sha256:[0-9a-f]{64}$"
CELERY_APP: Final = "alphaswarm.tasks.celery_app"  # the Dockerfiles' default too
APPLICATION: Final = f"{PREFIX}:images.application"
APPLICATION_STAGE: Final = "application"  # the Dockerfile's stage that holds the application's source
BUILD_CONTEXT: Final = "images"  # of both images
DOCKERFILE: Final = f"{BUILD_CONTEXT}/Dockerfile"
BUILD_PACKAGES: Final = "BUILD_PACKAGES"  # the build argument with what compilers need beside them
REPRODUCIBLE_BUILD_ARGS: Final = {"SOURCE_DATE_EPOCH": "0"}  # the same source has the same digests, whenever built

AccountId = Annotated[str, Field(pattern=ACCOUNT)]
PolicyArn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/.+$")]
Seconds = Annotated[StrictInt, Field(ge=1, le=90 * 24 * 3600)]  # no task runs for three months
SessionMargin = Annotated[StrictInt, Field(ge=0, le=int(SESSION_MARGIN_MAX.total_seconds()))]
ExtraName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")]
SourceRoot = Annotated[str, Field(pattern=r"^(\.|[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*)$")]
Platform = Literal["linux/amd64", "linux/arm64"]
NETWORK: Final = re.compile(r"[0-9a-fA-F.:]+/[0-9]{1,3}")


def _validate_network(text: str) -> str:
    try:
        ip_network(text)
    except ValueError:
        raise PydanticCustomError("network", "such as 10.40.0.0/16, without host bits") from None
    if not NETWORK.fullmatch(text):  # Kubernetes reads neither an address alone nor a mask nor a zone
        raise PydanticCustomError("network", "such as 10.40.0.0/16, or 10.40.0.9/32 for one address")
    return text


class Aws(Section):
    """Which account and region the stack belongs to."""

    region: str = Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$", description="AWS region, for example eu-central-1")
    account_id: AccountId = Field(
        description="the 12-digit account, quoted; credentials of any other account are refused"
    )
    endpoint: str | None = Field(
        None, pattern=r"^http://(127\.0\.0\.1|localhost):[0-9]+$", description="an AWS emulator on loopback"
    )

    @property
    def partition(self) -> str:
        """The partition in every ARN: China and GovCloud have their own."""
        return {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(self.region.rsplit("-", 2)[0], "aws")


class Cluster(Section):
    """How the Kubernetes cluster is reached; without it the ambient kubeconfig decides."""

    context: str | None = Field(None, min_length=1, description="name of the kubeconfig's context")
    kubeconfig: str | None = Field(None, min_length=1, description="path of the kubeconfig")
    await_ready: StrictBool = Field(True, description="whether an update waits until pods are ready")


class Registry(Section):
    """The two ECR repositories. The stack that builds owns them; stacks that promote have none."""

    kms_key: str | None = Field(
        None,
        pattern=r"^(create|arn:aws[a-z-]*:kms:.+)$",
        description="`create` for a key of the stack's own, or a key's ARN; without it ECR's AES-256",
    )
    scan_on_push: StrictBool = Field(True, description="whether ECR scans each image for known vulnerabilities")
    untagged_days: StrictInt = Field(14, ge=1, le=3650, description="days until an image without a tag is deleted")
    cache_days: StrictInt = Field(30, ge=1, le=3650, description="days until a build cache is deleted")
    keep_images: StrictInt = Field(
        500,
        ge=10,
        le=100_000,
        description="images kept, an index and each of its platforms counting one; older ones go, even if deployed",
    )
    readers: tuple[AccountId, ...] = Field((), description="accounts that may pull, for stacks that promote from here")
    protect: StrictBool | None = Field(
        None, description="whether they refuse to be deleted; without it they do when other accounts read from them"
    )
    address: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]+)?$",
        description="a registry that stands in for ECR's own address",
    )


class ImageExtras(Section):
    """Which of the application's extras stand for each image, where they are not AlphaSwarm's."""

    worker: tuple[ExtraName, ...] | None = Field(
        None, description="the extras in alphaswarm-worker; without it those of queues.py"
    )
    executor: tuple[ExtraName, ...] | None = Field(
        None, description="the extras in alphaswarm-executor; without it those of queues.py"
    )


Way = Literal["wheels", "pure", "compiled"]


# The build arguments that a key of the stack's file sets, and the key.
KEYS_OF_BUILD_ARGS: Final[Mapping[str, str]] = {
    "APPLICATION_VERSION": f"{PREFIX}:images.version",
    "CELERY_APP": f"{PREFIX}:celeryApp",
    "CHECK_IMPORT": f"{PREFIX}:images.checkImport",
    "EXECUTOR_DEPENDENCIES": f"{PREFIX}:images.dependencies.executor",
    "PYTHON": f"{PREFIX}:images.python",
    "SOURCE_ROOTS": f"{PREFIX}:images.sourceRoots",
    "WORKER_DEPENDENCIES": f"{PREFIX}:images.dependencies.worker",
}


class ImageDependencies(Section):
    """How the application's dependencies are installed in each image."""

    worker: Way = Field(
        "wheels",
        description="of alphaswarm-worker: `wheels`, or also source distributions, `pure` (Python alone) or `compiled`",
    )
    executor: Way = Field("wheels", description="of alphaswarm-executor, likewise")


class BuildImages(Section):
    """Build both images from source and push them to the stack's repositories."""

    source: Literal["build"] = Field(description="`build`")
    application: str = Field(
        REFERENCE_APPLICATION,
        min_length=1,
        description="the Celery application: a folder, seen from the project's own, or a git reference with its commit",
        json_schema_extra={"pattern": FOLDER_OR_COMMIT},
    )
    platforms: tuple[Platform, ...] = Field(
        ("linux/amd64", "linux/arm64"), min_length=1, description="platforms that both images are built for"
    )
    builder: str | None = Field(
        None, min_length=1, description="name of the buildx builder; without it the default one"
    )
    contexts: Mapping[str, str] = Field(
        default_factory=dict, description="build stages replaced by other contexts (BuildKit's named contexts)"
    )
    build_args: Mapping[str, str] = Field(
        default_factory=dict,
        description="build arguments, for instance SOURCE, REVISION and VERSION (labels) or MORE_EXTRAS; no secrets",
    )
    extras: ImageExtras = Field(
        default_factory=lambda: ImageExtras.model_validate({}),
        description="the application's extras in each image",
    )
    python: Literal["3.12", "3.13", "3.14"] = Field(PYTHON, description="the images' Python")
    dependencies: ImageDependencies = Field(
        default_factory=lambda: ImageDependencies.model_validate({}),
        description="how the application's dependencies are installed in each image",
    )
    source_roots: tuple[SourceRoot, ...] = Field(
        (),
        description="folders of the application to import from; then its source tree is installed, and no wheel",
    )
    version: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9.!+_-]*$",
        description="the application's version, where its build backend would ask git",
    )
    check_import: StrictBool = Field(
        True, description="whether the build imports the application once, and fails if it cannot"
    )

    def extras_of(self, image: Image) -> tuple[str, ...]:
        """Return the application's extras in an image, without MORE_EXTRAS."""
        own: tuple[str, ...] | None = getattr(self.extras, image.target)
        return image.extras if own is None else own

    def all_extras(self, image: Image) -> tuple[str, ...]:
        """Return all extras in an image: MORE_EXTRAS come to the executor's."""
        more = self.build_args.get("MORE_EXTRAS", "").split() if image is EXECUTOR else ()
        return tuple(dict.fromkeys((*self.extras_of(image), *more)))

    @property
    def wanted(self) -> Wanted:
        """What the images want of the application."""
        extras = {image.name: self.all_extras(image) for image in IMAGES}
        return Wanted(extras, self.python, self.source_roots, self.version)

    @property
    def all_contexts(self) -> Mapping[str, str]:
        """Every named context of the builds, by stage; the main context has the reference application."""
        own = {} if self.application == REFERENCE_APPLICATION else {APPLICATION_STAGE: self.application}
        return {**own, **self.contexts}

    def all_build_args(self, celery_app: str) -> Mapping[str, str]:
        """Return every build argument that decides what is built, where it is not the Dockerfile's own default."""
        given = {
            "CELERY_APP": "" if celery_app == CELERY_APP else celery_app,
            "CHECK_IMPORT": "" if self.check_import else "no",
            "PYTHON": "" if self.python == PYTHON else self.python,
            "SOURCE_ROOTS": " ".join(self.source_roots),
            "APPLICATION_VERSION": self.version or "",
        }
        for image in IMAGES:
            way = getattr(self.dependencies, image.target)
            given[f"{image.target.upper()}_DEPENDENCIES"] = "" if way == "wheels" else way
        extras = {
            f"{image.target.upper()}_EXTRAS": " ".join(self.extras_of(image))
            for image in IMAGES
            if getattr(self.extras, image.target) is not None  # an empty list is a choice too
        }
        own = {name: value for name, value in given.items() if value}
        return {**REPRODUCIBLE_BUILD_ARGS, **own, **extras, **self.build_args}


class PromoteImages(Section):
    """Deploy the digests that another stack built."""

    source: Literal["promote"] = Field(description="`promote`")
    stack: str = Field(
        pattern=r"^[\w.-]+/[\w.-]+/[\w.-]+$", description="the building stack as organization/project/stack"
    )


class GivenImages(Section):
    """Deploy given digests."""

    source: Literal["digests"] = Field(description="`digests`")
    worker: str = Field(pattern=DIGEST_REFERENCE, description="repository@sha256:… of alphaswarm-worker")
    executor: str = Field(pattern=DIGEST_REFERENCE, description="repository@sha256:… of alphaswarm-executor")


Images = Annotated[BuildImages | PromoteImages | GivenImages, Field(discriminator="source")]


class SessionTuning(Section):
    """More pods while an exchange has a session; work beyond them gets its pods too."""

    calendar: str = Field(
        min_length=1, description="market identifier code of the exchange, for instance `XNYS`, `XLON`, `XTKS`"
    )
    min_replicas: StrictInt = Field(ge=1, le=10_000, description="least pods while it has a session")
    before: SessionMargin = Field(
        int(DEFAULT_SESSION_LEAD.total_seconds()),
        description="seconds before a session opens: time to start the pods, and for a new node",
    )
    after: SessionMargin = Field(0, description="seconds after it closes")
    rollouts: Literal["outside", "anytime"] = Field(
        "outside",
        description="when an update may replace the queue's pods: `outside` sessions and these margins, or `anytime`",
    )


class QueueTuning(Section):
    """What a stack may change of a queue's row: how it scales and how long its tasks take, never its image."""

    min_replicas: StrictInt | None = Field(None, ge=0, le=10_000, description="least pods")
    max_replicas: StrictInt | None = Field(None, ge=1, le=10_000, description="most pods")
    concurrency: StrictInt | None = Field(None, ge=1, le=1_000, description="tasks at once in one pod")
    polling_interval: Seconds | None = Field(None, description="seconds between KEDA's looks while there are no pods")
    cooldown_period: Seconds | None = Field(None, description="seconds without work before the last pod goes")
    time_limit: Seconds | None = Field(None, description="hard time limit of a task, in seconds")
    grace_period: Seconds | None = Field(None, description="seconds a pod gets to stop; more than the time limit")
    visibility_timeout: Seconds | None = Field(
        None, description="seconds until an unacknowledged task is handed out again; more than the grace period"
    )
    soft_shutdown: Seconds | None = Field(None, description="seconds after which a stopping pod re-queues its tasks")
    sessions: SessionTuning | None = Field(None, description="more pods while an exchange has a session")
    target_wait: Seconds | None = Field(
        None,
        description="seconds a task may wait: pods follow from measured run times; without it each task gets a slot",
    )

    refused: ClassVar[Mapping[str, str]] = {
        "image": "no stack may move a queue to another image; that is a row of queues.py",
        "taskLimit": "is named timeLimit, as Celery names it",
    }


class Metrics(Section):
    """Prometheus metrics of the workers, on port 9100."""

    enabled: StrictBool = Field(False, description="whether workers serve metrics")
    scrape_namespace: str = Field("monitoring", pattern=DNS_LABEL, description="the namespace Prometheus runs in")


class Tracing(Section):
    """OpenTelemetry traces of the workers."""

    endpoint: str = Field(pattern=r"^https?://[A-Za-z0-9.-]+:[0-9]+$", description="OTLP gRPC endpoint with its port")
    sample_ratio: float = Field(0.1, strict=True, ge=0, le=1, description="share of traces that are kept")


class Gpu(Section):
    """The GPU node group. Without it queues that want a GPU run on a CPU, one pod at a time."""

    count: StrictInt = Field(
        ge=1,
        le=10_000,
        description="GPUs of the node group; all pods of a queue that wants GPUs have no more than that",
    )
    node_selector: Mapping[LabelName, LabelText] = Field(default_factory=dict, description="labels of the node group")
    tolerations: tuple[Toleration, ...] = Field((), description="taints of the node group")
    resource: str = Field(
        "nvidia.com/gpu", pattern=EXTENDED_RESOURCE, description="the extended resource's name, with its domain"
    )


class Identity(Section):
    """IAM roles for the images' service accounts: by the cluster's OIDC provider (IRSA), or by EKS Pod Identity."""

    oidc_provider_arn: str | None = Field(
        None,
        pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:oidc-provider/.+$",
        description="ARN of the cluster's OIDC provider, for IRSA",
    )
    pod_identity_cluster: str | None = Field(
        None,
        pattern=r"^[0-9A-Za-z][A-Za-z0-9_-]{0,99}$",
        description="name of the EKS cluster whose Pod Identity agent hands out the roles, in place of IRSA",
    )
    worker_policies: tuple[PolicyArn, ...] = Field((), description="ARNs of further policies for alphaswarm-worker")
    executor_policies: tuple[PolicyArn, ...] = Field((), description="ARNs of further policies for alphaswarm-executor")
    permissions_boundary: str | None = Field(None, pattern=r"^arn:aws", description="ARN of the roles' boundary")


class FinOps(Section):
    """Labels that every workload carries."""

    project: str = Field(pattern=LABEL_VALUE, description="who uses it")
    cost_center: str = Field(pattern=LABEL_VALUE, description="who pays")
    owner: str = Field(pattern=LABEL_VALUE, description="who is asked")
    data_classification: Literal["public", "internal", "confidential", "restricted"] = Field(
        description="the most sensitive data it holds"
    )


class Egress(Section):
    """Somewhere else the workers may connect to, beyond DNS, the broker and HTTPS."""

    cidr: Annotated[str, AfterValidator(_validate_network)] = Field(description="a network")
    ports: tuple[Port, ...] = Field(min_length=1, description="TCP ports")


class Quota(Section):
    """How much the namespace may take: a guard against runaways and a budget."""

    headroom: float = Field(
        2.0,
        strict=True,
        ge=1,
        le=100,
        description="multiple of the catalogue's most pods; 2 leaves room for the old pods of a rollout",
    )


class Settings(Section):
    """Everything a stack says, checked. Make one with `config.loading`."""

    environment: Literal["local", "dev", "staging", "prod"] = Field(description="which environment this stack is")
    namespace: str = Field("alphaswarm", pattern=DNS_LABEL, description="Kubernetes namespace of the fleet")
    layout: Literal["per-queue", "per-image"] = Field(
        "per-queue", description="one Deployment a queue with KEDA, or one an image with an HPA"
    )
    aws: Aws | None = Field(None, description="the AWS account; needed for repositories and roles")
    cluster: Cluster = Field(default_factory=lambda: Cluster.model_validate({}), description="the Kubernetes cluster")
    registry: Registry | None = Field(None, description="the ECR repositories, for the stack that builds")
    images: Images = Field(description="where the images come from")
    broker: Broker = Field(description="Redis: broker and result backend")
    celery_app: str = Field(
        CELERY_APP,
        pattern=r"^[A-Za-z_][\w.]*(:[A-Za-z_]\w*)?$",
        description="the Celery application",
    )
    scaling: Mapping[str, QueueTuning] = Field(default_factory=dict, description="tuning by queue")
    pods: Pods = Field(default_factory=lambda: Pods.model_validate({}), description="what pods get, by whose they are")
    volumes: Mapping[str, Volume] = Field(
        default_factory=dict, description="what lies behind the images' directories, by directory"
    )
    metrics: Metrics = Field(default_factory=lambda: Metrics.model_validate({}), description="Prometheus metrics")
    tracing: Tracing | None = Field(None, description="OpenTelemetry traces")
    gpu: Gpu | None = Field(None, description="the GPU node group")
    identity: Identity | None = Field(None, description="IAM roles for service accounts")
    egress: tuple[Egress, ...] = Field((), description="further networks the workers may reach")
    quota: Quota = Field(default_factory=lambda: Quota.model_validate({}), description="the namespace's quota")
    labels: FinOps = Field(description="FinOps labels")
    mark_busy_pods: bool = Field(
        True, description="whether beat tells Kubernetes which pods run tasks, so that a scale-in takes idle ones first"
    )
    protect: bool = Field(False, description="whether repositories, keys and the namespace refuse to be deleted")
