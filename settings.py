"""A stack's configuration: text in, one frozen value out, and everything else takes that value.

The only module that knows how configuration is spelt. Plain data is checked by pydantic; the rules between sections
are plain functions below. All problems are found before any is reported, and each names the key as the stack's file
writes it. Secrets never enter the model: they stay outputs in `Secrets`, so that no error or `repr` can show one.

Units: durations are whole seconds, replicas are pods, storage sizes are Kubernetes quantities.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

import yaml
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from application import FOLDER_OR_COMMIT, REFERENCE_APPLICATION, folder_faults, is_remote, reference_fault
from problems import Problem, Reader, Section, listed, meant, shown
from queues import IMAGES, QUEUES, AlwaysOn, Catalogue, CatalogueError, Image, Queue

if TYPE_CHECKING:
    import pulumi

PREFIX: Final = "fleet"
BROKER_PASSWORD: Final = "brokerPassword"  # noqa: S105 the key's name, not a password
NETRC: Final = "netrc"
GIT_TOKEN: Final = "gitToken"  # noqa: S105 the key's name
SECRET_KEYS: Final = frozenset({BROKER_PASSWORD, NETRC, GIT_TOKEN})

DNS_LABEL: Final = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
HOST: Final = r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$"
LABEL_VALUE: Final = r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$"
ACCOUNT: Final = r"^[0-9]{12}$"
DIGEST_REFERENCE: Final = r"^([A-Za-z0-9][A-Za-z0-9.:-]*/)?[a-z0-9][a-z0-9./_-]*@sha256:[0-9a-f]{64}$"
ROLE_NAME_MAX: Final = 64  # IAM's limit
IN_CLUSTER_REDIS_PORT: Final = 6379
APPLICATION: Final = f"{PREFIX}:images.application"
APPLICATION_STAGE: Final = "application"  # the Dockerfile's stage that holds the application's source

AccountId = Annotated[str, Field(pattern=ACCOUNT)]
Whole = Annotated[int, Field(strict=True)]  # `true` is no 1
PolicyArn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/.+$")]
Port = Annotated[Whole, Field(ge=1, le=65535)]
Seconds = Annotated[Whole, Field(ge=1, le=90 * 24 * 3600)]  # no task runs for three months
Platform = Literal["linux/amd64", "linux/arm64"]


def _network(text: str) -> str:
    try:
        ip_network(text)
    except ValueError:
        raise PydanticCustomError("network", "such as 10.40.0.0/16, without host bits") from None
    return text


class SettingsError(ValueError):
    """The stack's configuration cannot be used; the message lists every problem."""


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
        """The first part of every ARN: China and GovCloud are partitions of their own."""
        return {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(self.region.rsplit("-", 2)[0], "aws")


class Cluster(Section):
    """How the Kubernetes cluster is reached; without it the ambient kubeconfig decides."""

    context: str | None = Field(None, min_length=1, description="name of the kubeconfig's context")
    kubeconfig: str | None = Field(None, min_length=1, description="path of the kubeconfig")
    await_ready: bool = Field(True, description="whether an update waits until pods are ready")


class Registry(Section):
    """The two ECR repositories. The stack that builds owns them; stacks that promote have none."""

    kms_key: str | None = Field(
        None,
        pattern=r"^(create|arn:aws[a-z-]*:kms:.+)$",
        description="`create` for a key of the stack's own, or a key's ARN; without it ECR's AES-256",
    )
    scan_on_push: bool = Field(True, description="whether ECR scans each image for known vulnerabilities")
    untagged_days: Whole = Field(14, ge=1, le=3650, description="days until an image without a tag is deleted")
    cache_days: Whole = Field(30, ge=1, le=3650, description="days until a build cache is deleted")
    keep_images: Whole = Field(
        500,
        ge=10,
        le=100_000,
        description="images kept, an index and each of its platforms counting one; older ones go, even if deployed",
    )
    readers: tuple[AccountId, ...] = Field((), description="accounts that may pull, for stacks that promote from here")
    protect: bool | None = Field(
        None, description="whether they refuse to be deleted; without it they do when other accounts read from them"
    )
    address: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]+)?$",
        description="a registry that stands in for ECR's own address",
    )


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


class InClusterBroker(Section):
    """A Redis of the stack's own, without persistent storage: for trying things out."""

    kind: Literal["in-cluster"] = Field(description="`in-cluster`")
    image: str = Field("docker.io/library/redis:7.4", min_length=1, description="Redis' image")
    scaler_address: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9.-]+:[0-9]+$",
        description="host:port that KEDA dials where it does not run in the cluster",
    )
    database: Whole = Field(0, ge=0, le=15, description="Redis database of the queues")
    result_database: Whole = Field(1, ge=0, le=15, description="Redis database of the results")

    @property
    def tls(self) -> bool:
        """Traffic stays in the namespace."""
        return False

    @property
    def user(self) -> str | None:
        """Redis' default user."""
        return None

    @property
    def existing_secret(self) -> str | None:
        """The stack makes its own."""
        return None


class ExternalBroker(Section):
    """A Redis that somebody else runs. Its password: `fleet:brokerPassword`, or a Secret that is there already."""

    kind: Literal["external"] = Field(description="`external`")
    host: str = Field(pattern=HOST, description="fully qualified: KEDA dials from a namespace of its own")
    port: Port = Field(6379, description="TCP port")
    tls: bool = Field(True, description="whether the connection is encrypted")
    user: str | None = Field(None, pattern=r"^[\w.-]+$", description="ACL user; without it Redis' default user")
    database: Whole = Field(0, ge=0, le=15, description="Redis database of the queues")
    result_database: Whole = Field(1, ge=0, le=15, description="Redis database of the results")
    existing_secret: str | None = Field(
        None, pattern=DNS_LABEL, description="name of a Secret in the namespace with the key `password`"
    )


Broker = Annotated[InClusterBroker | ExternalBroker, Field(discriminator="kind")]


class QueueTuning(Section):
    """What a stack may change of a queue's row: how it scales and how long its tasks take, never its image."""

    min_replicas: Whole | None = Field(None, ge=0, le=10_000, description="least pods")
    max_replicas: Whole | None = Field(None, ge=1, le=10_000, description="most pods")
    concurrency: Whole | None = Field(None, ge=1, le=1_000, description="tasks at once in one pod")
    polling_interval: Seconds | None = Field(None, description="seconds between KEDA's looks while there are no pods")
    cooldown_period: Seconds | None = Field(None, description="seconds without work before the last pod goes")
    time_limit: Seconds | None = Field(None, description="hard time limit of a task, in seconds")
    grace_period: Seconds | None = Field(None, description="seconds a pod gets to stop; more than the time limit")
    visibility_timeout: Seconds | None = Field(
        None, description="seconds until an unacknowledged task is handed out again; more than the grace period"
    )
    soft_shutdown: Seconds | None = Field(None, description="seconds after which a stopping pod re-queues its tasks")

    refused: ClassVar[Mapping[str, str]] = {
        "image": "no stack may move a queue to another image; that is a row of queues.py",
        "taskLimit": "is named timeLimit, as Celery names it",
    }


class Metrics(Section):
    """Prometheus metrics of the workers, on port 9100."""

    enabled: bool = Field(False, description="whether workers serve metrics")
    scrape_namespace: str = Field("monitoring", pattern=DNS_LABEL, description="the namespace Prometheus runs in")


class Tracing(Section):
    """OpenTelemetry traces of the workers."""

    endpoint: str = Field(pattern=r"^https?://[A-Za-z0-9.-]+:[0-9]+$", description="OTLP gRPC endpoint with its port")
    sample_ratio: float = Field(0.1, strict=True, ge=0, le=1, description="share of traces that are kept")


class Toleration(Section):
    """A Kubernetes toleration of a node's taint."""

    key: str = Field(min_length=1, description="the taint's key")
    operator: Literal["Exists", "Equal"] = Field("Exists", description="`Exists` or `Equal`")
    value: str | None = Field(None, description="the taint's value, for `Equal`")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="the taint's effect"
    )


class Gpu(Section):
    """The GPU node group. Without it queues that want a GPU run on a CPU, one pod at a time."""

    count: Whole = Field(ge=1, le=10_000, description="GPUs of the node group; training has at most that many pods")
    node_selector: Mapping[str, str] = Field(default_factory=dict, description="labels of the node group")
    tolerations: tuple[Toleration, ...] = Field((), description="taints of the node group")
    resource: str = Field("nvidia.com/gpu", min_length=1, description="the extended resource's name")


class Identity(Section):
    """IAM roles for the images' service accounts (IRSA)."""

    oidc_provider_arn: str = Field(
        pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:oidc-provider/.+$", description="ARN of the cluster's OIDC provider"
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

    cidr: Annotated[str, AfterValidator(_network)] = Field(description="a network")
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
    """Everything a stack says, checked. Make one with `parse`, `from_stack_file` or `load`."""

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
        "alphaswarm.tasks.celery_app",
        pattern=r"^[A-Za-z_][\w.]*(:[A-Za-z_]\w*)?$",
        description="the Celery application",
    )
    scaling: Mapping[str, QueueTuning] = Field(default_factory=dict, description="tuning by queue")
    metrics: Metrics = Field(default_factory=lambda: Metrics.model_validate({}), description="Prometheus metrics")
    tracing: Tracing | None = Field(None, description="OpenTelemetry traces")
    gpu: Gpu | None = Field(None, description="the GPU node group")
    identity: Identity | None = Field(None, description="IAM roles for service accounts")
    egress: tuple[Egress, ...] = Field((), description="further networks the workers may reach")
    quota: Quota = Field(default_factory=lambda: Quota.model_validate({}), description="the namespace's quota")
    labels: FinOps = Field(description="FinOps labels")
    protect: bool = Field(False, description="whether repositories, keys and the namespace refuse to be deleted")

    @cached_property
    def queues(self) -> Catalogue:
        """The catalogue as this stack tunes it."""
        return Catalogue(tuple(tuned(queue, self.scaling, self.gpu, self.environment) for queue in QUEUES.queues))

    def drained_by(self, image: Image) -> tuple[Queue, ...]:
        """The queues of `image`, as this stack tunes them."""
        return self.queues.of(image)


@dataclass(frozen=True)
class Secrets:
    """The stack's secrets, as secret outputs; None where the stack has none."""

    broker_password: "pulumi.Output[str] | None" = None
    netrc: "pulumi.Output[str] | None" = None
    git_token: "pulumi.Output[str] | None" = None


def role_name(namespace: str, environment: str, image: Image) -> str:
    """The IAM role of an image's pods."""
    return f"{namespace}-{environment}-{image.target}"


def most_pods(queue: Queue, gpu: Gpu | None) -> int:
    """The catalogue's most pods of a queue; where it wants GPUs, as many as there are to have."""
    return max(gpu.count // queue.gpus, 1) if gpu and queue.gpus else queue.max_replicas


def tuned(queue: Queue, scaling: Mapping[str, QueueTuning], gpu: Gpu | None, environment: str) -> Queue:
    """`queue` as a stack tunes it. Raises CatalogueError when the result cannot work."""
    tuning = scaling.get(queue.name) or QueueTuning.model_validate({})
    gpus = queue.gpus if gpu else 0
    least, most = queue.min_replicas, most_pods(queue, gpu)
    if queue.always_on is AlwaysOn.PRODUCTION and environment == "prod":
        least = max(least, 1)
    least = least if tuning.min_replicas is None else tuning.min_replicas
    most = most if tuning.max_replicas is None else tuning.max_replicas
    return replace(
        queue,
        gpus=gpus,
        replicas=(least, most),
        concurrency=queue.concurrency if tuning.concurrency is None else tuning.concurrency,
        polling_interval=_seconds(tuning.polling_interval, queue.polling_interval),
        cooldown_period=_seconds(tuning.cooldown_period, queue.cooldown_period),
        time_limit=_seconds(tuning.time_limit, queue.time_limit) or queue.time_limit,
        grace_period=_seconds(tuning.grace_period, queue.grace_period) or queue.grace_period,
        visibility_timeout=_seconds(tuning.visibility_timeout, queue.visibility_timeout) or queue.visibility_timeout,
        soft_shutdown=_seconds(tuning.soft_shutdown, queue.soft_shutdown),
    )


def _seconds(given: int | None, otherwise: timedelta | None) -> timedelta | None:
    return otherwise if given is None else timedelta(seconds=given)


# --- rules between sections: each takes the sections that could be read, so that all problems show at once ---


def _scaling_problems(sections: Mapping[str, Any], _secrets: frozenset[str]) -> Iterator[Problem]:
    environment, gpu = sections.get("environment", "dev"), sections.get("gpu")
    for name, tuning in sections.get("scaling", {}).items():
        key = f"{PREFIX}:scaling.{name}"
        if name not in QUEUES.names:
            yield Problem(
                key, f"there is no such queue{meant(name, QUEUES.names)}; the catalogue has {listed(QUEUES.names)}"
            )
            continue
        queue = QUEUES.queue(name)
        try:
            result = tuned(queue, {name: tuning}, gpu, environment)
        except CatalogueError as error:
            yield Problem(key, f"given {shown(tuning.model_dump(by_alias=True, exclude_none=True))}; {error}")
            continue
        if queue.always_on is AlwaysOn.PRODUCTION and environment == "prod" and result.min_replicas < 1:
            yield Problem(f"{key}.minReplicas", "given 0; in prod this queue is always on: at least 1")
        if gpu and queue.gpus and result.max_replicas * queue.gpus > gpu.count:
            yield Problem(
                f"{key}.maxReplicas",
                f"given {result.max_replicas}; {PREFIX}:gpu.count is {gpu.count}, with {queue.gpus} a pod: at most "
                f"{gpu.count // queue.gpus}",
            )


def _quota_problems(sections: Mapping[str, Any], _secrets: frozenset[str]) -> Iterator[Problem]:
    if "quota" not in sections:
        return
    headroom, scaling, gpu = sections["quota"].headroom, sections.get("scaling", {}), sections.get("gpu")
    for image in IMAGES:
        queues = QUEUES.of(image)
        most = sum(most_pods(queue, gpu) for queue in queues)
        given = {name: tuning.max_replicas for name, tuning in scaling.items()}
        wanted = sum(given.get(queue.name) or most_pods(queue, gpu) for queue in queues)
        if wanted > headroom * most:
            yield Problem(
                f"{PREFIX}:quota.headroom",
                f"given {headroom:g}; {image.name} may have {wanted} pods where the catalogue has {most}: at least "
                f"{wanted / most:.2f}, and twice that for rollouts without waiting",
            )


def _aws_problems(sections: Mapping[str, Any], _secrets: frozenset[str]) -> Iterator[Problem]:
    if sections.get("aws") is not None:
        return
    for name in ("registry", "identity"):
        if sections.get(name) is not None and "aws" in sections:
            yield Problem(f"{PREFIX}:aws", f"missing; {PREFIX}:{name} needs an account and a region")


def _role_problems(sections: Mapping[str, Any], _secrets: frozenset[str]) -> Iterator[Problem]:
    if sections.get("identity") is None:
        return
    namespace, environment = sections.get("namespace", ""), sections.get("environment", "")
    for image in IMAGES:
        if (length := len(role_name(namespace, environment, image))) > ROLE_NAME_MAX:
            yield Problem(
                f"{PREFIX}:namespace",
                f"given {namespace!r}; the role of {image.name} would have a name of {length} characters: at most "
                f"{ROLE_NAME_MAX}, so shorten it by {length - ROLE_NAME_MAX}",
            )
            return


def _image_problems(sections: Mapping[str, Any], _secrets: frozenset[str]) -> Iterator[Problem]:
    images, registry = sections.get("images"), sections.get("registry")
    if "registry" not in sections or images is None:
        return
    if isinstance(images, BuildImages) and registry is None:
        yield Problem(f"{PREFIX}:registry", f"missing; a stack with {PREFIX}:images.source build owns the repositories")
    if isinstance(images, PromoteImages) and registry is not None:
        yield Problem(
            f"{PREFIX}:registry",
            f"a stack that promotes deploys from the repositories of {images.stack}; remove this key",
        )


def _application_problems(sections: Mapping[str, Any], _secrets: frozenset[str]) -> Iterator[Problem]:
    images = sections.get("images")
    if not isinstance(images, BuildImages):
        return
    if fault := reference_fault(images.application):
        yield Problem(APPLICATION, f"given {shown(images.application)}; {fault}")
    if APPLICATION_STAGE in images.contexts:
        yield Problem(f"{PREFIX}:images.contexts.{APPLICATION_STAGE}", f"set {APPLICATION} instead, which is checked")


def folder_problems(sections: Mapping[str, Any], _secrets: frozenset[str]) -> Iterator[Problem]:
    """What the application's folder lacks: the only rule that looks at the disk, so no rule of a file's text."""
    images = sections.get("images")
    if isinstance(images, BuildImages) and not is_remote(images.application):
        for fault in folder_faults(Path(images.application), images.build_args.get("MORE_EXTRAS", "")):
            yield Problem(APPLICATION, f"given {shown(images.application)}; {fault}")


def _broker_problems(sections: Mapping[str, Any], secrets: frozenset[str]) -> Iterator[Problem]:
    broker, environment = sections.get("broker"), sections.get("environment")
    password = f"{PREFIX}:{BROKER_PASSWORD}"
    if isinstance(broker, InClusterBroker):
        if environment == "prod":
            yield Problem(f"{PREFIX}:broker.kind", "given 'in-cluster', which keeps no data; in prod: external")
        if BROKER_PASSWORD not in secrets:
            yield Problem(password, f"missing; set it with: pulumi config set --secret {password}")
    if isinstance(broker, ExternalBroker):
        if "." not in broker.host:
            yield Problem(
                f"{PREFIX}:broker.host",
                f"given {broker.host!r}; a fully qualified name or an address: KEDA dials from its own namespace",
            )
        if (broker.existing_secret is None) is (BROKER_PASSWORD not in secrets):
            yield Problem(
                password,
                f"give either this secret or {PREFIX}:broker.existingSecret, "
                + ("not both" if broker.existing_secret else "one is needed"),
            )


NOT_PLAIN: Final = "is a secret and stands here as plain text; set it with --secret, and treat the old value as known"
READER: Final = Reader(Settings, PREFIX, SECRET_KEYS)
Rule = Callable[[Mapping[str, Any], frozenset[str]], Iterator[Problem]]
RULES: Final[tuple[Rule, ...]] = (
    _scaling_problems,
    _quota_problems,
    _aws_problems,
    _role_problems,
    _image_problems,
    _application_problems,
    _broker_problems,
)


# --- reading ---


def parse(raw: Mapping[str, Any], secrets: frozenset[str] = frozenset(), rules: tuple[Rule, ...] = RULES) -> Settings:
    """Check a stack's configuration: `raw` by key without its prefix, and the names of the secrets that are set.

    Raises SettingsError naming every problem.
    """
    problems = [Problem(f"{PREFIX}:{key}", NOT_PLAIN) for key in sorted(SECRET_KEYS & raw.keys())]
    plain = {key: value for key, value in raw.items() if key not in SECRET_KEYS}
    for key in sorted(secrets - SECRET_KEYS):
        problems.append(
            Problem(f"{PREFIX}:{key}", f"is stored as a secret; only these are: {listed(SECRET_KEYS, PREFIX)}")
        )
        plain.pop(key, None)
    settings, sections = None, {}
    try:
        settings = Settings.model_validate(plain)
        sections = dict(settings)
    except ValidationError as error:
        problems += READER.problems(error, plain)
        sections = _readable(plain, {str(detail["loc"][0]) for detail in error.errors()})
    known = {problem.key for problem in problems}
    problems += [found for rule in rules for found in rule(sections, secrets) if found.key not in known]
    if problems or settings is None:
        lines = "\n".join(f"  {problem}" for problem in sorted(set(problems), key=str))
        count = f"{len(set(problems))} problem" + ("s" if len(set(problems)) > 1 else "")
        raise SettingsError(f"The stack's configuration has {count}; nothing was changed.\n{lines}")
    return settings


def from_stack_file(file: Path, secrets_elsewhere: frozenset[str] = frozenset()) -> Settings:
    """Read a stack's file without the engine; `secrets_elsewhere` are those that somebody adds to it later.

    Raises SettingsError, also when the file is missing or no YAML.
    """
    try:
        document = yaml.safe_load(file.read_text())
    except FileNotFoundError:
        known = sorted(other.name for other in file.parent.glob("Pulumi.*.yaml"))
        raise SettingsError(f"There is no {file.name}; the stacks here are: {', '.join(known)}.") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{file.name} is not YAML: {' '.join(str(error).split())}") from None
    config = (document or {}).get("config") if isinstance(document or {}, dict) else None
    if not isinstance(config, dict):
        raise SettingsError(f"{file.name} needs a mapping named `config` with keys such as {PREFIX}:environment.")
    own = {
        key.partition(":")[2]: json.loads(json.dumps(value, default=str))  # as the engine hands it over: keys are text
        for key, value in config.items()
        if str(key).startswith(f"{PREFIX}:")
    }
    secrets = frozenset(key for key, value in own.items() if isinstance(value, dict) and set(value) == {"secure"})
    return parse({key: value for key, value in own.items() if key not in secrets}, secrets | secrets_elsewhere)


def load() -> tuple[Settings, Secrets]:
    """The running stack's configuration, and whether the application it builds is there.

    Raises pulumi.RunError, which the engine shows without a traceback.
    """
    import pulumi
    from pulumi.runtime import config as engine

    config = pulumi.Config(PREFIX)
    every = {**engine.get_config_env(), **engine.CONFIG.get()}
    own = {key.partition(":")[2]: value for key, value in every.items() if key.startswith(f"{PREFIX}:")}
    secrets = frozenset(name for name in own if engine.is_config_secret(f"{PREFIX}:{name}"))
    try:
        plain = {name: _decoded(text) for name, text in own.items() if name not in secrets}
        settings = parse(plain, secrets, (*RULES, folder_problems))
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from None
    return settings, Secrets(*(config.get_secret(key) for key in (BROKER_PASSWORD, NETRC, GIT_TOKEN)))


def _decoded(text: Any) -> Any:  # noqa: ANN401 the engine hands over text, a test may hand over data
    """The engine passes lists and mappings as JSON text, and everything else as it stands in the file."""
    if isinstance(text, str) and text[:1] in ("{", "["):
        try:
            return json.loads(text)
        except ValueError:  # no JSON, or a number of more digits than Python reads
            return text
    return text


def _readable(raw: Mapping[str, Any], faulty: set[str]) -> dict[str, Any]:
    """The sections without a fault of their own, by field name; `scaling` entry by entry."""
    sections: dict[str, Any] = {}
    for name, field in Settings.model_fields.items():
        key = field.alias or name
        if key == "scaling" and isinstance(raw.get(key), Mapping):
            read = {str(queue): _valid(QueueTuning, given) for queue, given in raw[key].items()}
            sections[name] = {queue: tuning for queue, tuning in read.items() if tuning is not None}
        elif key in raw and key not in faulty:
            sections[name] = _valid(field.annotation, raw[key])
        elif key not in raw and not field.is_required():
            sections[name] = field.get_default(call_default_factory=True)
    return sections


def _valid(annotation: Any, given: Any) -> Any:  # noqa: ANN401 any annotation, any input
    try:
        return TypeAdapter(annotation).validate_python(given)
    except ValidationError:
        return None
