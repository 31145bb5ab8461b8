"""Validation across the sections of a stack's file, beyond what each key allows.

Each rule takes the sections that could be read, so that all errors show at once, and the names of the secrets that are
set. A new rule is one function and one line of RULES.
"""

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from config.application import folder_findings, is_remote, reference_error
from config.broker import PASSWORD, ExternalBroker, InClusterBroker
from config.calendars import calendar_rows
from config.errors import ErrorLine, below, comma_separated, either_errors, format_value, no_such_queue, suggestion
from config.identity import role_name
from config.pod_rules import pod_errors
from config.pods import PlainObject, PodOptions, Pods, merged, source_errors, toleration_errors
from config.quantities import quantity
from config.schema import (
    APPLICATION,
    APPLICATION_STAGE,
    BROKER_PASSWORD,
    BUILD_PACKAGES,
    DOCKERFILE,
    KEYS_OF_BUILD_ARGS,
    PREFIX,
    REPRODUCIBLE_BUILD_ARGS,
    BuildImages,
    Gpu,
    PromoteImages,
    QueueTuning,
)
from config.tuning import BEAT_LIMITS, BEAT_REQUESTS, max_pods, queue_options, tuned_max_pods, tuned_queue
from config.variables import holds_secret, looks_secret
from config.volume_rules import volume_rule
from queues import IMAGES, QUEUES, AlwaysOn, CatalogueError, Resources

ROLE_NAME_MAX: Final = 64  # IAM's limit
FOR_SCALERS: Final = frozenset({"sessions", "targetWait", "pollingInterval", "cooldownPeriod"})
# Build arguments that no Dockerfile declares.
BUILDKITS_OWN: Final = re.compile(r"BUILDKIT_\w+|(HTTP|HTTPS|FTP|NO|ALL)_PROXY", re.IGNORECASE)
Rule = Callable[[Mapping[str, Any], frozenset[str]], Iterator[ErrorLine]]


def _scaling_errors(sections: Mapping[str, Any], _secrets: frozenset[str]) -> Iterator[ErrorLine]:
    environment, gpu = sections.get("environment", "dev"), sections.get("gpu")
    for name, tuning in sections.get("scaling", {}).items():
        key = below(f"{PREFIX}:scaling", name)
        if name not in QUEUES.names:
            yield ErrorLine(key, f"{no_such_queue(name, QUEUES.names)}: correct or remove this key")
            continue
        queue = QUEUES.queue(name)
        if sections.get("layout") == "per-image":
            yield from _layout_errors(key, tuning)
        if tuning.sessions and (unknown := _calendar_error(tuning.sessions.calendar)):
            yield ErrorLine(f"{key}.sessions.calendar", unknown)
        if queue.gpus and "gpu" not in sections:
            continue  # its section cannot be read, and decides how many pods there may be
        try:
            result = tuned_queue(queue, tuning, gpu, environment)
        except CatalogueError as error:
            yield ErrorLine(key, f"given {format_value(tuning.model_dump(by_alias=True, exclude_none=True))}; {error}")
            continue
        if queue.always_on is AlwaysOn.PRODUCTION and environment == "prod" and result.min_replicas < 1:
            yield ErrorLine(f"{key}.minReplicas", "given 0; in prod this queue is always on: at least 1")
        if gpu and queue.gpus and result.max_replicas * queue.gpus > gpu.count:
            yield ErrorLine(
                f"{key}.maxReplicas",
                f"given {result.max_replicas}; {PREFIX}:gpu.count is {gpu.count}, with {queue.gpus} a pod: at most "
                f"{gpu.count // queue.gpus}",
            )


def _layout_errors(key: str, tuning: QueueTuning) -> Iterator[ErrorLine]:
    """Yield the keys that change nothing where a Deployment drains all queues of its image."""
    for name in sorted(FOR_SCALERS & tuning.model_dump(by_alias=True, exclude_none=True).keys()):
        yield ErrorLine(
            f"{key}.{name}",
            f"is for KEDA's scalers; with {PREFIX}:layout per-image a Deployment drains many queues, and its "
            "pods follow processor time: remove this key, or choose per-queue",
        )
    if tuning.concurrency is not None:
        yield ErrorLine(
            f"{key}.concurrency",
            f"with {PREFIX}:layout per-image a Deployment drains many queues, with its image's concurrency: remove "
            "this key, or choose per-queue",
        )


def _calendar_error(name: str) -> str | None:
    if name in (known := calendar_rows()):
        return None
    return (
        f"given {format_value(name)}; allowed: the market identifier code of an exchange in "
        f"config/exchange_calendars.json{suggestion(name, known)}"
    )


def _row_errors(_sections: Mapping[str, Any], _secrets: frozenset[str]) -> Iterator[ErrorLine]:
    for queue in QUEUES.queues:
        if queue.sessions and (error := _calendar_error(queue.sessions.calendar)):
            yield ErrorLine(f"queues.py, {queue.name}, calendar of sessions", error)


def _quota_errors(sections: Mapping[str, Any], _secrets: frozenset[str]) -> Iterator[ErrorLine]:
    """Yield an error where the stack's pods would not fit into a quota that follows the catalogue."""
    if "quota" not in sections:
        return
    headroom = sections["quota"].headroom
    factor, reason = max(_quota_factors(sections.get("scaling") or {}, sections.get("gpu"), sections.get("pods")))
    if factor > headroom:
        yield ErrorLine(
            f"{PREFIX}:quota.headroom",
            f"given {headroom:g}; {reason}: at least {math.ceil(factor * 100) / 100:g}, and twice that for rollouts "
            "without waiting",
        )


def _quota_factors(
    scaling: Mapping[str, QueueTuning], gpu: Gpu | None, pods: Pods | None
) -> Iterator[tuple[float, str]]:
    """Yield how many times the catalogue's amounts the stack's are, each with what it is that grew."""
    for image in IMAGES:
        queues = QUEUES.of(image)
        untuned = sum(max_pods(queue, gpu) for queue in queues)
        tuned = sum(tuned_max_pods(queue, scaling.get(queue.name), gpu) for queue in queues)
        yield tuned / untuned, f"{image.name} may have {tuned} pods where the catalogue has {untuned}"
    if pods is None:
        return
    kinds = [
        (
            max_pods(queue, gpu),
            tuned_max_pods(queue, scaling.get(queue.name), gpu),
            {"requests": queue.image.requests, "limits": queue.image.limits},
            queue_options(pods, queue.image, (queue.name,)),
        )
        for queue in QUEUES.queues
    ]
    kinds.append((1, 1, {"requests": BEAT_REQUESTS, "limits": BEAT_LIMITS}, merged(pods.all, pods.beat)))
    for side, name in itertools.product(("requests", "limits"), ("cpu", "memory")):
        catalogue = sum(count * _quantity(profile[side], name) for count, _, profile, _ in kinds)
        amount = sum(count * _pod_amount(options, profile[side], side, name) for _, count, profile, options in kinds)
        yield float(amount / catalogue), f"the {side} of {name} in {PREFIX}:pods are more than the catalogue's"


def _pod_amount(options: PodOptions, profile: Resources, side: str, name: str) -> Decimal:
    """Return a pod's amount as Kubernetes counts it: with its sidecars, or what an init container asks for before."""
    tuned = quantity(getattr(getattr(options.resources, side), name))
    before = max((_amount(container, side, name) for container in options.init_containers), default=Decimal(0))
    beside = sum((_amount(sidecar, side, name) for sidecar in options.sidecars), Decimal(0))
    return max(tuned or _quantity(profile, name), before) + beside


def _quantity(profile: Resources, name: str) -> Decimal:
    return quantity(getattr(profile, name)) or Decimal(0)


def _amount(container: PlainObject, side: str, name: str) -> Decimal:
    """Return an amount of a sidecar; 0 where it has none, which another rule says."""
    resources = container.get("resources")
    amounts = resources.get(side) if isinstance(resources, Mapping) else None
    return quantity(amounts.get(name)) or Decimal(0) if isinstance(amounts, Mapping) else Decimal(0)


def _gpu_errors(sections: Mapping[str, Any], _secrets: frozenset[str]) -> Iterator[ErrorLine]:
    if (gpu := sections.get("gpu")) is not None:
        for index, toleration in enumerate(gpu.tolerations):
            yield from toleration_errors(f"{PREFIX}:gpu.tolerations[{index}]", toleration)


def _aws_errors(sections: Mapping[str, Any], _secrets: frozenset[str]) -> Iterator[ErrorLine]:
    if sections.get("aws") is not None:
        return
    for name in ("registry", "identity"):
        if sections.get(name) is not None and "aws" in sections:
            yield ErrorLine(f"{PREFIX}:aws", f"missing; {PREFIX}:{name} needs an account and a region")


def _role_errors(sections: Mapping[str, Any], _secrets: frozenset[str]) -> Iterator[ErrorLine]:
    identity = sections.get("identity")
    if identity is None:
        return
    ways = {"oidcProviderArn (IRSA)": identity.oidc_provider_arn, "podIdentityCluster": identity.pod_identity_cluster}
    yield from either_errors(f"{PREFIX}:identity", **ways)
    namespace, environment = sections.get("namespace", ""), sections.get("environment", "")
    for image in IMAGES:
        if (length := len(role_name(namespace, environment, image))) > ROLE_NAME_MAX:
            yield ErrorLine(
                f"{PREFIX}:namespace",
                f"given {namespace!r}; the role of {image.name} would have a name of {length} characters: at most "
                f"{ROLE_NAME_MAX}, so shorten it by {length - ROLE_NAME_MAX}",
            )
            return


def _image_errors(sections: Mapping[str, Any], _secrets: frozenset[str]) -> Iterator[ErrorLine]:
    images, registry = sections.get("images"), sections.get("registry")
    if "registry" not in sections or images is None:
        return
    if isinstance(images, BuildImages) and registry is None:
        yield ErrorLine(f"{PREFIX}:registry", "missing; a stack that builds owns the repositories")
    if isinstance(images, PromoteImages) and registry is not None:
        yield ErrorLine(
            f"{PREFIX}:registry",
            f"a stack that promotes deploys from the repositories of {images.stack}; remove this key",
        )


def _application_errors(sections: Mapping[str, Any], _secrets: frozenset[str]) -> Iterator[ErrorLine]:
    images = sections.get("images")
    if not isinstance(images, BuildImages):
        return
    if error := reference_error(images.application):
        yield ErrorLine(APPLICATION, f"given {format_value(images.application)}; {error}")
    for name in sorted(images.build_args.keys() & _catalogue_build_arguments()):
        yield ErrorLine(
            f"{PREFIX}:images.buildArgs.{name}", "is written into the Dockerfiles from queues.py; remove this key"
        )
    for name in sorted(images.build_args.keys() & KEYS_OF_BUILD_ARGS.keys()):
        yield ErrorLine(
            f"{PREFIX}:images.buildArgs.{name}", f"set {KEYS_OF_BUILD_ARGS[name]} instead, which is checked"
        )
    for name, value in sorted(images.build_args.items()):
        if looks_secret(name, value):
            yield ErrorLine(
                f"{PREFIX}:images.buildArgs.{name}",
                "looks like a secret, and would stand in this file and in the image's history; a private index is read "
                "with the secret fleet:netrc, and treat the old value as known",
            )
    if images.source_roots and images.version is not None:
        yield ErrorLine(
            f"{PREFIX}:images.version",
            f"given {format_value(images.version)}; with {PREFIX}:images.sourceRoots no wheel is built that would "
            "have a version; remove one of them",
        )
    yield from _context_errors(images)
    yield from _unknown_build_errors(images)


def _unknown_build_errors(images: BuildImages) -> Iterator[ErrorLine]:
    """Yield the build arguments and contexts that the Dockerfile has no place for: BuildKit leaves them unused."""
    if not (images.build_args or images.contexts):
        return
    text = (Path(__file__).parents[1] / DOCKERFILE).read_text()
    arguments = {*re.findall(r"^ARG (\w+)", text, re.MULTILINE), *REPRODUCIBLE_BUILD_ARGS}
    stages = set(re.findall(r"^FROM .* AS (\S+)$", text, re.MULTILINE))
    for name, value in sorted(images.build_args.items()):
        if name in arguments or BUILDKITS_OWN.fullmatch(name) or looks_secret(name, value):
            continue
        yield ErrorLine(
            below(f"{PREFIX}:images.buildArgs", name),
            f"{DOCKERFILE} has no such argument{suggestion(name, arguments)}; remove this key",
        )
    for name in sorted(images.contexts.keys() - stages):
        if not set(name) & set("/:."):  # else it replaces an image that a stage begins from
            yield ErrorLine(
                below(f"{PREFIX}:images.contexts", name),
                f"{DOCKERFILE} has no such stage{suggestion(name, stages)}; it has {comma_separated(stages)}",
            )


def _context_errors(images: BuildImages) -> Iterator[ErrorLine]:
    for name, location in sorted(images.contexts.items()):
        if holds_secret(location):
            yield ErrorLine(
                below(f"{PREFIX}:images.contexts", name),
                "looks like a secret, and would stand in this file and the state; a build has fleet:gitToken and "
                "fleet:netrc for that, and treat the old value as known",
            )
    if APPLICATION_STAGE in images.contexts:
        yield ErrorLine(f"{PREFIX}:images.contexts.{APPLICATION_STAGE}", f"set {APPLICATION} instead, which is checked")


def _catalogue_build_arguments() -> frozenset[str]:
    return frozenset(name for image in IMAGES for name in QUEUES.build_arguments(image)) | {BUILD_PACKAGES}


def application_folder_rule(warnings: list[str]) -> Rule:
    """Return the rule on the application's folder, which adds to `warnings` what may not work.

    It reads the disk, so it is not one of RULES.
    """

    def rule(sections: Mapping[str, Any], _secrets: frozenset[str]) -> Iterator[ErrorLine]:
        images = sections.get("images")
        if not isinstance(images, BuildImages) or is_remote(images.application):
            return
        errors, doubts = folder_findings(Path(images.application), images.wanted)
        warnings.extend(f"{APPLICATION}: {doubt}." for doubt in doubts)
        for error in errors:
            yield ErrorLine(APPLICATION, f"given {format_value(images.application)}; {error}")

    return rule


def _broker_errors(sections: Mapping[str, Any], secrets: frozenset[str]) -> Iterator[ErrorLine]:
    broker, environment = sections.get("broker"), sections.get("environment")
    password = f"{PREFIX}:{BROKER_PASSWORD}"
    if isinstance(broker, InClusterBroker):
        if environment == "prod":
            yield ErrorLine(f"{PREFIX}:broker.kind", "given 'in-cluster', which keeps no data; in prod: external")
        if BROKER_PASSWORD not in secrets:
            yield ErrorLine(password, f"missing; set it with: pulumi config set --secret {password}")
    if isinstance(broker, ExternalBroker):
        yield from _external_broker_errors(broker, password, given=BROKER_PASSWORD in secrets)
        if broker.scaler_authentication is not None and sections.get("layout") == "per-image":
            yield ErrorLine(
                f"{PREFIX}:broker.scalerAuthentication",
                f"is for KEDA's scalers, and {PREFIX}:layout per-image has none: remove this key, or choose per-queue",
            )


def _external_broker_errors(broker: ExternalBroker, password: str, *, given: bool) -> Iterator[ErrorLine]:
    """Yield the errors of a Redis that somebody else runs; `given` says whether the stack has its password."""
    if "." not in broker.host:
        yield ErrorLine(
            f"{PREFIX}:broker.host",
            f"given {broker.host!r}; a fully qualified name or an address: KEDA dials from its own namespace",
        )
    sources = {
        password: given,
        f"{PREFIX}:broker.existingSecret": broker.existing_secret is not None,
        f"{PREFIX}:broker.externalSecret": broker.external_secret is not None,
        f"{PREFIX}:broker.passwordless": broker.passwordless,
    }
    named = [key for key, is_given in sources.items() if is_given]
    if len(named) != 1:
        yield ErrorLine(
            password,
            f"give one of {', '.join(sources)}" + (f", not {' and '.join(named)}" if named else "; none is there"),
        )
    if broker.existing_secret is None and broker.existing_secret_key != PASSWORD:
        yield ErrorLine(
            f"{PREFIX}:broker.existingSecretKey",
            f"given {format_value(broker.existing_secret_key)}; it is the key in {PREFIX}:broker.existingSecret, "
            f"and the Secret that is made here has {PASSWORD!r}: remove this key",
        )
    if broker.passwordless and broker.user is not None:
        yield ErrorLine(
            f"{PREFIX}:broker.user",
            f"given {format_value(broker.user)}; with {PREFIX}:broker.passwordless KEDA's scaler logs in as nobody "
            "and might see other keys than the workers: remove one of them",
        )
    if broker.result_url is not None and "result_database" in broker.model_fields_set:
        yield ErrorLine(f"{PREFIX}:broker.resultDatabase", "results go to resultUrl; remove one of them")
    if broker.ca is not None:
        key = f"{PREFIX}:broker.ca"
        yield from source_errors(key, broker.ca)
        if not broker.tls:
            yield ErrorLine(key, f"is of no use with {PREFIX}:broker.tls false; remove one of them")


RULES: Final[tuple[Rule, ...]] = (
    _row_errors,
    _scaling_errors,
    _quota_errors,
    _gpu_errors,
    _aws_errors,
    _role_errors,
    _image_errors,
    _application_errors,
    _broker_errors,
    pod_errors,
    volume_rule,
)
"""The rules that need nothing but the file's text."""
