"""What a stack says of its pods beyond the catalogue: environment, volumes, containers, resources, scheduling.

The same keys stand for all pods, for an image's workers, for beat and for one queue's workers. `merged` lays the more
special over the more general: mappings merge key by key, lists go on, an item takes the place of one with the same key
(Kubernetes has one volume a name, one mount a path), and of single values the last one counts.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, Field, StrictBool, StrictInt
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from config.errors import ErrorLine, Section, either_errors
from config.kubernetes_fields import without_nulls
from config.kubernetes_rules import POD_FIELD

OBJECT_NAME: Final = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$"
ENV_NAME: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
ENV_PREFIX: Final = r"^([A-Za-z_][A-Za-z0-9_]*)?$"
DATA_KEY: Final = r"^[A-Za-z0-9_.-]{1,253}$"
# With a prefix or without.
LABEL_NAME: Final = (
    r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*/)?"
    r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$"
)
LABEL_TEXT: Final = r"^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$"
CPU: Final = r"^([1-9][0-9]*m?|[1-9][0-9]*\.[0-9]{1,3}|0\.([1-9][0-9]{0,2}|0[1-9][0-9]?|00[1-9]))$"  # more than none
SIZE: Final = r"^[1-9][0-9]*(Mi|Gi|Ti)$"

ObjectName = Annotated[str, Field(pattern=OBJECT_NAME, max_length=253)]
LabelName = Annotated[str, Field(pattern=LABEL_NAME)]
LabelText = Annotated[str, Field(pattern=LABEL_TEXT)]
EnvName = Annotated[str, Field(pattern=ENV_NAME)]
Cpu = Annotated[str, Field(pattern=CPU)]
Size = Annotated[str, Field(pattern=SIZE)]
PlainObject = Annotated[Mapping[str, Any], AfterValidator(without_nulls)]
"""An object in Kubernetes' own spelling, with the fields that Kubernetes' documentation describes."""
ItemKey = Callable[[Any], str]


def _validate_address(text: str) -> str:
    try:
        ip_address(text.replace("%", "/"))  # a zone means something on one machine alone
    except ValueError:
        raise PydanticCustomError("address", "an address such as 10.40.0.9 or fd00::9") from None
    return text


class SecretOrConfigMap(Section):
    """A Secret or a ConfigMap that is there already; `source_errors` asks for exactly one."""

    secret: ObjectName | None = Field(None, description="name of the Secret")
    config_map: ObjectName | None = Field(None, description="name of the ConfigMap, where it is none")


def source_errors(key: str, source: SecretOrConfigMap) -> Iterator[ErrorLine]:
    """Yield an error unless exactly one of the two is given."""
    return either_errors(key, secret=source.secret, configMap=source.config_map)


class EnvReference(SecretOrConfigMap):
    """One key of a Secret or ConfigMap that is there already, or a field of the pod itself."""

    key: str | None = Field(None, pattern=DATA_KEY, description="the key in it")
    optional: StrictBool = Field(False, description="whether pods start without it")
    field: str | None = Field(
        None, pattern=POD_FIELD, description="a field of the pod, such as `status.hostIP`, in place of the others"
    )


def reference_errors(key: str, reference: EnvReference) -> Iterator[ErrorLine]:
    """Yield an error unless a variable has exactly one source, and that is whole."""
    yield from either_errors(key, secret=reference.secret, configMap=reference.config_map, field=reference.field)
    if (reference.key is None) is (reference.field is None):
        yield ErrorLine(f"{key}.key", "missing" if reference.field is None else "is of no use with field; remove it")


class EnvFrom(SecretOrConfigMap):
    """All keys of a Secret or ConfigMap that is there already, as variables."""

    prefix: str = Field("", pattern=ENV_PREFIX, description="what the variables' names begin with")
    optional: StrictBool = Field(False, description="whether pods start without it")


class HostAlias(Section):
    """A line of /etc/hosts."""

    ip: Annotated[str, AfterValidator(_validate_address)] = Field(description="the address")
    hostnames: tuple[ObjectName, ...] = Field(min_length=1, description="its names")


class Toleration(Section):
    """A Kubernetes toleration of a node's taint."""

    key: LabelName | None = Field(None, description="the taint's key; without it every taint is tolerated")
    operator: Literal["Exists", "Equal"] | None = Field(
        None, description="`Exists` or `Equal`; without it `Equal` where there is a value"
    )
    value: LabelText | None = Field(None, description="the taint's value, for `Equal`")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="the taint's effect; without it every one"
    )
    toleration_seconds: StrictInt | None = Field(
        None,
        ge=0,
        le=315_360_000,
        description="seconds for which `NoExecute` is tolerated; without it for ever",
    )


def toleration_errors(key: str, toleration: Toleration) -> Iterator[ErrorLine]:
    """Yield what Kubernetes would refuse of a toleration."""
    if toleration.operator == "Exists" and toleration.value is not None:
        yield ErrorLine(f"{key}.value", "is of no use with operator Exists; remove one of them")
    if toleration.operator == "Equal" and toleration.key is None:
        yield ErrorLine(f"{key}.key", "missing; only with operator Exists it may be left out")
    if toleration.key is None and toleration.value is not None:
        yield ErrorLine(f"{key}.key", "missing; a value is that of a key")
    if toleration.toleration_seconds is not None and toleration.effect != "NoExecute":
        yield ErrorLine(f"{key}.tolerationSeconds", "is for effect NoExecute")


class Amounts(Section):
    """Amounts of a container's resources; what is not set stays as the image has it."""

    cpu: Cpu | None = Field(None, description="processors, such as `500m` or `4`")
    memory: Size | None = Field(None, description="memory, such as `2Gi`")
    ephemeral_storage: Size | None = Field(None, description="disk of the node: logs and emptyDir volumes")


class ResourceTuning(Section):
    """Requests and limits of the worker's container."""

    requests: Amounts = Field(
        default_factory=lambda: Amounts.model_validate({}), description="what the scheduler reserves"
    )
    limits: Amounts = Field(default_factory=lambda: Amounts.model_validate({}), description="the most it may take")


class PodOptions(Section):
    """What pods get beyond the catalogue."""

    env: Mapping[EnvName, str] = Field(default_factory=dict, description="variables as plain text; no secrets")
    env_value_from: Mapping[EnvName, EnvReference] = Field(
        default_factory=dict, description="variables from one key of a Secret or ConfigMap"
    )
    env_from: tuple[EnvFrom, ...] = Field((), description="variables from all keys of Secrets and ConfigMaps")
    labels: Mapping[LabelName, LabelText] = Field(default_factory=dict, description="further labels of the pods")
    annotations: Mapping[LabelName, str] = Field(default_factory=dict, description="further annotations of the pods")
    image_pull_secrets: tuple[ObjectName, ...] = Field((), description="Secrets to pull the images with")
    host_aliases: tuple[HostAlias, ...] = Field((), description="lines of /etc/hosts")
    volumes: tuple[PlainObject, ...] = Field((), description="further volumes, as Kubernetes writes them")
    volume_mounts: tuple[PlainObject, ...] = Field(
        (), description="where they are in the worker's or beat's container, as Kubernetes writes them"
    )
    init_containers: tuple[PlainObject, ...] = Field(
        (), description="containers that end before the worker starts, as Kubernetes writes them"
    )
    sidecars: tuple[PlainObject, ...] = Field(
        (),
        description="containers that run from before the worker's start until after its end, as Kubernetes writes them",
    )
    resources: ResourceTuning = Field(
        default_factory=lambda: ResourceTuning.model_validate({}),
        description="requests and limits of the worker's or beat's container",
    )
    node_selector: Mapping[LabelName, LabelText] = Field(
        default_factory=dict, description="labels that the nodes must have"
    )
    tolerations: tuple[Toleration, ...] = Field((), description="taints of nodes that the pods may run on")
    affinity: PlainObject = Field(default_factory=dict, description="affinity, as Kubernetes writes it")
    topology_spread_constraints: tuple[PlainObject, ...] = Field(
        (), description="further rules of spreading over nodes, as Kubernetes writes them"
    )
    runtime_class: ObjectName | None = Field(None, description="name of the RuntimeClass")
    refused: ClassVar[Mapping[str, str]] = {
        "pool": "tasks run in processes, which alone can be ended at their time limit; there is no other pool",
        "containers": "say sidecars or initContainers: the worker is the only other container",
        "runtimeClassName": "is named runtimeClass",
        "securityContext": "is the same for every pod of the fleet, as the restricted profile demands",
        "hostNetwork": "is not allowed in a namespace of the restricted profile",
    }


class WorkerOptions(PodOptions):
    """What workers' pods get beyond the catalogue."""

    threads: StrictInt | None = Field(
        None,
        ge=1,
        le=1024,
        description="threads of OpenMP, BLAS, numba, Polars and Arrow in each task's process; without it the "
        "processor limit divided by the concurrency",
    )
    shared_memory: Size | None = Field(
        None, description="size of /dev/shm, a part of the memory limit; without it a quarter of that limit"
    )
    max_tasks_per_child: StrictInt | None = Field(
        None, ge=1, le=1_000_000, description="tasks after which Celery replaces a worker's process"
    )
    max_memory_per_child: Size | None = Field(
        None, description="memory after which Celery replaces a worker's process, once its task has ended"
    )
    evictable: StrictBool | None = Field(
        None,
        description="whether node autoscalers may end running pods; without it they may where no task takes more than "
        "15 minutes. Pods that never reach zero are always evictable, or no node could be drained",
    )


class BeatOptions(PodOptions):
    """What beat's pod gets beyond the catalogue."""

    refused: ClassVar[Mapping[str, str]] = {
        **PodOptions.refused,
        **dict.fromkeys(
            (to_camel(name) for name in WorkerOptions.model_fields.keys() - PodOptions.model_fields.keys()),
            "is for workers: beat runs no tasks",
        ),
    }


def spread_key(constraint: PlainObject) -> str:
    """Return what Kubernetes knows a topology spread constraint by."""
    return f"{constraint.get('topologyKey')} {constraint.get('whenUnsatisfiable')}"


def _named(item: PlainObject) -> str:
    return str(item.get("name"))


KEYS_OF_ITEMS: Final[Mapping[str, ItemKey]] = {
    "volumes": _named,
    "volume_mounts": lambda mount: str(mount.get("mountPath")),
    "init_containers": _named,
    "sidecars": _named,
    "image_pull_secrets": str,
    "host_aliases": lambda alias: str(alias.ip),
    "topology_spread_constraints": spread_key,
}
"""By what an item of a list is known, where Kubernetes has one of each."""


def no_options() -> WorkerOptions:
    """Return options that change nothing."""
    return WorkerOptions.model_validate({})


class Pods(Section):
    """Options by whose pods they are for; a queue's stand over its image's, and those over `all`."""

    all: WorkerOptions = Field(default_factory=no_options, description="every pod: workers and beat")
    worker: WorkerOptions = Field(default_factory=no_options, description="the workers of image alphaswarm-worker")
    executor: WorkerOptions = Field(default_factory=no_options, description="the workers of image alphaswarm-executor")
    beat: BeatOptions = Field(
        default_factory=lambda: BeatOptions.model_validate({}), description="beat, which runs no tasks"
    )
    queues: Mapping[str, WorkerOptions] = Field(default_factory=dict, description="the workers of one queue")


def merged(*options: PodOptions) -> WorkerOptions:
    """Return the options of pods for which all of these stand, the most general first."""
    result: dict[str, Any] = {}
    for one in options:
        for name in one.model_fields_set:
            result[name] = _laid_over(result.get(name), getattr(one, name), KEYS_OF_ITEMS.get(name))
        # A variable has one source: the more special one, be it a text or a reference.
        result["env"] = _without(result.get("env", {}), one.env_value_from)
        result["env_value_from"] = _without(result.get("env_value_from", {}), one.env)
    return no_options().model_copy(update=result)


def _without(variables: Mapping[str, Any], names: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in variables.items() if name not in names}


def by_key(items: Iterable[Any], key: ItemKey) -> tuple[Any, ...]:
    """Return the items with the last one of each key, where the first one was."""
    return tuple({key(item): item for item in items}.values())


def _laid_over(general: Any, special: Any, key: ItemKey | None = None) -> Any:  # noqa: ANN401 any field's value
    if isinstance(special, Mapping) and isinstance(general, Mapping):
        return {**general, **special}
    if isinstance(special, tuple) and isinstance(general, tuple):
        return by_key((*general, *special), key) if key else (*general, *special)
    if isinstance(special, Section) and isinstance(general, Section):
        inner = {name: _laid_over(getattr(general, name), getattr(special, name)) for name in special.model_fields_set}
        return general.model_copy(update=inner)
    return special
