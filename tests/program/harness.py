"""Runs the whole program of a stack without an engine, and answers questions about what it registered.

The program is `__main__.py`, started as the engine starts it: configuration as text, objects as JSON text, secrets
named apart. Every run has a context of its own, and every registration has landed when it returns. Accessors raise on
what is missing, so that "is absent" never passes on a misspelt name.
"""

import asyncio
import contextvars
import copy
import json
import runpy
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from unittest import mock

import pulumi
import yaml
from pulumi.runtime import config as engine_config
from pulumi.runtime import settings as engine_settings
from pulumi.runtime.stack import run_in_stack

from config.schema import Settings
from manifests import ImageReferences, Manifest
from manifests.plan import PlanInputs, manifests_for_files, plan
from tests.program.monitor import UNKNOWN, Cloud, Monitor, Registration, index_digest

ROOT: Final = Path(__file__).parents[2]
PROJECT: Final = "alphaswarm-fleet"
STACKS: Final = ("local", "dev", "staging", "prod")
LAYOUTS: Final = ("per-queue", "per-image")
PASSWORD: Final = "correct-horse-battery-staple"
NO_ERROR: Final[Mapping[str, subprocess.CompletedProcess[str]]] = {
    "/version": subprocess.CompletedProcess([], 0, '{"gitVersion": "v1.36.3"}', ""),
    "customresourcedefinition": subprocess.CompletedProcess([], 0, '{"metadata": {"labels": {}}}', ""),
}
"""A cluster that has all that is needed: kubectl's answers, by a word of the question."""

Configuration = dict[str, Any]


def configuration(stack: str, **changes: Any) -> Configuration:  # noqa: ANN401 any configuration
    """What a stack's file says, by key without its prefix, with some keys changed; None takes a key away."""
    document = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())
    plain = {key.removeprefix("fleet:"): value for key, value in document["config"].items()}
    changed = copy.deepcopy({**plain, **changes})
    return {key: value for key, value in changed.items() if value is not None}


def secrets_of(stack: str) -> dict[str, str]:
    """The secrets that a stack's owner sets."""
    return {"brokerPassword": PASSWORD} if stack == "local" else {}


def as_the_engine_passes_it(plain: Configuration) -> dict[str, str]:
    """Text for a scalar, JSON text for anything else."""
    return {
        f"fleet:{key}": value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in plain.items()
    }


def built_images(account: str = "111122223333") -> dict[str, str]:
    """The `images` output of a stack that has built."""
    return {
        image: f"{account}.dkr.ecr.eu-central-1.amazonaws.com/{image}@{index_digest(image)}"
        for image in ("alphaswarm-worker", "alphaswarm-executor")
    }


def cloud_of(plain: Configuration, **changes: Any) -> Cloud:  # noqa: ANN401 any field of Cloud
    """Providers that act in the configuration's account, and other stacks that have built."""
    aws, images = _section(plain, "aws"), _section(plain, "images")
    known: dict[str, Any] = {
        "account": aws.get("accountId", "000000000000"),
        "region": aws.get("region", "eu-central-1"),
        "other_stacks": {str(images.get("stack", "")): {"images": built_images(), "executorHasCuda": False}},
    }
    return Cloud(**{**known, **changes})


def _section(plain: Configuration, name: str) -> Mapping[str, Any]:
    found = plain.get(name)
    return found if isinstance(found, Mapping) else {}  # a configuration under test may be any nonsense


def written_objects(settings: Settings, images: ImageReferences) -> list[Manifest]:
    """The plan's objects that may stand in a file, without a run of the program."""
    return manifests_for_files(plan(settings, PlanInputs(images)))


@dataclass(frozen=True)
class Program:
    """What a program registered."""

    registrations: tuple[Registration, ...]
    outputs_by_urn: Mapping[str, Mapping[str, Any]]
    messages: tuple[tuple[str, str], ...]
    exports: Mapping[str, Any]

    def every(self, kind: str) -> tuple[Registration, ...]:
        """All resources of a type. Raises LookupError when there is none."""
        if found := tuple(one for one in self.registrations if one.type == kind):
            return found
        raise LookupError(f"no {kind} is registered; there are {sorted({one.type for one in self.registrations})}")

    def one(self, kind: str, name: str) -> Registration:
        """The resource of a type with a logical name. Raises LookupError when there is none."""
        for found in self.every(kind):
            if found.name == name:
                return found
        raise LookupError(f"no {kind} is named {name}; there are {sorted(one.name for one in self.every(kind))}")

    def count(self, kind: str) -> int:
        """How many resources of a type there are; none is an answer."""
        return sum(one.type == kind for one in self.registrations)

    def warnings(self) -> list[str]:
        """What the program warned of."""
        return [text for severity, text in self.messages if severity == "WARNING"]

    def kubernetes(self) -> dict[tuple[str, str], Registration]:
        """The Kubernetes objects' registrations by kind and name."""
        found = [one for one in self.registrations if one.type.startswith("kubernetes:")]
        return {(str(one.inputs["kind"]), str(one.inputs["metadata"]["name"])): one for one in found}

    def manifests(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """The Kubernetes objects of a kind by name; may be empty."""
        return {name: one.inputs for (found, name), one in self.kubernetes().items() if found == kind}

    def manifest(self, kind: str, name: str) -> Mapping[str, Any]:
        """A Kubernetes object. Raises LookupError when there is none."""
        try:
            return self.kubernetes()[kind, name].inputs
        except KeyError:
            raise LookupError(f"no {kind} {name}; there are {sorted(self.manifests(kind))}") from None

    def waits_for(self, one: Registration) -> frozenset[str]:
        """The URNs that must stand before `one`: its own dependencies, and those of all it hangs below."""
        by_urn = {other.urn: other for other in self.registrations}
        found, seen = set(one.dependencies), one
        while seen.parent in by_urn:
            seen = by_urn[seen.parent]
            found |= seen.dependencies
        return frozenset(found)

    def workers(self) -> dict[str, Mapping[str, Any]]:
        """The Deployments that drain queues, by name. Raises LookupError when there is none."""
        found = {name: one for name, one in self.manifests("Deployment").items() if "ALPHASWARM_QUEUES" in env(one)}
        if not found:
            raise LookupError("no Deployment drains a queue")
        return found


@dataclass(frozen=True)
class Failure:
    """A run that did not come to its end."""

    error: BaseException
    registrations: tuple[Registration, ...]


def container(deployment: Mapping[str, Any]) -> Mapping[str, Any]:
    """The only container of a Deployment's pods. Raises ValueError when there are several."""
    (only,) = deployment["spec"]["template"]["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def env(deployment: Mapping[str, Any]) -> dict[str, Any]:
    """The environment of a Deployment's container; what comes from a Secret as the reference to it."""
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container(deployment)["env"]}


def queues_of(deployment: Mapping[str, Any]) -> list[str]:
    """The queues that a Deployment drains. Raises KeyError when it drains none."""
    return str(env(deployment)["ALPHASWARM_QUEUES"]).split(",")


def queue_of(found: "Program", scaler: str) -> str:
    """The one queue whose Deployment a ScaledObject scales. Raises ValueError when it drains several."""
    target = found.manifest("ScaledObject", scaler)["spec"]["scaleTargetRef"]["name"]
    (queue,) = queues_of(found.manifest("Deployment", target))
    return queue


def attempt(
    plain: Configuration,
    secrets: Mapping[str, str],
    *,
    stack: str = "test",
    preview: bool = False,
    cloud: Cloud | None = None,
    kubectl: Mapping[str, subprocess.CompletedProcess[str]] = NO_ERROR,
) -> Program | Failure:
    """Run the program; a failure is a result too."""
    monitor = Monitor(PROJECT, stack, cloud or cloud_of(plain), preview=preview)
    values = {**as_the_engine_passes_it(plain), **{f"fleet:{key}": value for key, value in secrets.items()}}
    secret_keys = [f"fleet:{key}" for key in secrets]
    try:
        with _kubectl(kubectl):
            contextvars.Context().run(_run, monitor, values, secret_keys)
    except Exception as error:  # noqa: BLE001 whatever the program raises is the result
        return Failure(error, tuple(monitor.registrations))
    root = f"urn:pulumi:{stack}::{PROJECT}::pulumi:pulumi:Stack::{PROJECT}-{stack}"
    return Program(
        tuple(monitor.registrations), monitor.outputs, tuple(monitor.messages), monitor.outputs.get(root, {})
    )


def run(plain: Configuration, secrets: Mapping[str, str], **how: Any) -> Program:  # noqa: ANN401 as `attempt`
    """Run the program. Raises what the program raises."""
    result = attempt(plain, secrets, **how)
    if isinstance(result, Failure):
        raise result.error
    return result


def fail(plain: Configuration, secrets: Mapping[str, str], **how: Any) -> Failure:  # noqa: ANN401 as `attempt`
    """Run the program and hand back its failure. Raises AssertionError when it succeeds."""
    result = attempt(plain, secrets, **how)
    assert isinstance(result, Failure), f"the program ran through and registered {len(result.registrations)} resources"
    return result


@cache
def program(stack: str, layout: str = "per-queue", *, preview: bool = False) -> Program:
    """A stack's program, run once for all tests that only read it."""
    return run(configuration(stack, layout=layout), secrets_of(stack), stack=stack, preview=preview)


def _run(monitor: Monitor, values: dict[str, str], secret_keys: list[str]) -> None:
    pulumi.runtime.set_all_config(values, secret_keys)
    engine_settings.configure(
        engine_settings.Settings(
            project=monitor.project,
            stack=monitor.stack,
            organization="organization",
            root_directory=str(ROOT),
            monitor=monitor,
            engine=monitor,
            dry_run=monitor.preview,
        )
    )
    assert engine_config.CONFIG.get() == values
    asyncio.run(run_in_stack(_main))


def _main() -> None:
    runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")


@contextmanager
def _kubectl(answers: Mapping[str, subprocess.CompletedProcess[str]]) -> Iterator[None]:
    """The cluster's answers, whether or not this machine has kubectl or a cluster."""

    def answer(command: list[str], **_how: object) -> subprocess.CompletedProcess[str]:
        return next(found for word, found in (*answers.items(), *NO_ERROR.items()) if word in command)

    with (
        mock.patch("config.preflight.shutil.which", return_value="kubectl"),
        mock.patch("config.preflight.subprocess.run", side_effect=answer),
    ):
        yield


__all__ = ["UNKNOWN", "Cloud", "Failure", "Program", "Registration"]
