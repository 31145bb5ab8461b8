"""deploy/compose*.yaml: the fleet on one machine with Docker, in the `per-image` layout.

Each service is what the Kustomize base's Deployment says of its container, in Compose's words. Different is what one
machine has no use for: the broker is a service beside the workers, whose password lies in a file; caches lie with the
data, since a volume takes its owner from the image's directory of that name; and no scaler changes the replicas.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from config.broker import InClusterBroker
from config.quantities import mebibytes, milli_cpu
from config.schema import CELERY_APP, Settings
from config.volumes import CACHE_DIRECTORY, directories
from manifests import Manifest
from manifests.broker import REDIS_DATA, redis_deployment, redis_script
from manifests.deployment import beat_deployment, worker_deployment
from manifests.metadata import BEAT, REDIS
from manifests.volumes import SHARED_MEMORY_DIRECTORY, TMP_DIRECTORY
from manifests.workload import image_workload
from queues import EXECUTOR, QUEUES, WORKER, Image
from surfaces.base_settings import BARE_IMAGES, base_settings
from surfaces.yaml_text import LiteralStr, dump_block

Service = dict[str, Any]

SECRET: Final = "redis-broker.json"  # noqa: S105 as the runtime names the file of service redis, purpose broker
SECRETS_DIRECTORY: Final = "/run/secrets"
SEND_TASK: Final = "send-task"
TASK: Final = "alphaswarm.tasks.default_tasks.report"
CUDA_EXTRA: Final = "ml-torch-cuda"
# What no service has: a Secret's key, and the access of a pod to the Kubernetes API.
LEFT_OUT: Final = frozenset({"REDIS_BROKER", "ALPHASWARM_API_ACCESS"})
HEADER: Final = """\
# Generated from queues.py by `make surfaces`; do not edit: Compose merges a file of yours over this one.
# {about}
#
# Once, the password, of letters and digits:
#     install -d -m 700 secrets && printf '"%s"' "$(openssl rand -hex 24)" > secrets/redis-broker.json
# Then, in this folder:
#     docker compose -f {file} up --build --detach --wait
#     docker compose -f {file} run --rm send-task
"""


@dataclass(frozen=True)
class ComposeFile:
    """One of the two files: its services' names by what they run, and whether it has the machine's GPUs."""

    name: str
    about: str
    project: str
    worker: str
    executor: str
    beat: str
    gpus: bool


FILES: Final = (
    ComposeFile(
        "compose.yaml", "The fleet on one machine.", "alphaswarm",
        worker=WORKER.name, executor=EXECUTOR.name, beat=BEAT, gpus=False,
    ),
    ComposeFile(
        "compose.legacy.yaml", "The fleet on one machine with GPUs, under the names of its services before the split.",
        "alphaswarm-legacy", worker="worker", executor="worker-gpu", beat="beat", gpus=True,
    ),
)  # fmt: skip


def compose_files() -> dict[str, str]:
    """Return the files' text by name."""
    return {one.name: HEADER.format(about=one.about, file=one.name) + dump_block(compose_model(one)) for one in FILES}


def compose_model(file: ComposeFile) -> dict[str, Any]:
    """Return a file as plain data."""
    settings = base_settings("per-image")
    workers = {file.worker: WORKER, file.executor: EXECUTOR}
    services: dict[str, Service] = {REDIS: _redis(settings)}
    for name, image in workers.items():
        workload = image_workload(settings, image)
        gpus = max(queue.gpus for queue in QUEUES.of(image)) if file.gpus else 0
        deployment = worker_deployment(settings, workload, BARE_IMAGES)
        services[name] = _service(name, image, deployment, gpus)
    services[file.beat] = _service(file.beat, WORKER, beat_deployment(settings, BARE_IMAGES), 0)
    services[SEND_TASK] = _send_task(services[file.beat])
    volumes = [mount.partition(":")[0] for one in services.values() for mount in one.get("volumes", ())]
    return {
        "name": file.project,
        "services": services,
        "volumes": {volume: {} for volume in volumes},
        "secrets": {SECRET: {"file": f"./secrets/{SECRET}"}},
    }


def _service(name: str, image: Image, deployment: Manifest, gpus: int) -> Service:
    """Return the service of a Deployment, with so many of the machine's GPUs."""
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    return {
        **_image(image, cuda=gpus > 0),
        "command": container["args"],
        **_security(pod, container),
        "environment": dict(_environment(container)),
        "secrets": [SECRET],
        **_volumes(name, image, pod, container),
        "healthcheck": _healthcheck(container["readinessProbe"], container["startupProbe"]),
        "stop_grace_period": f"{pod['terminationGracePeriodSeconds']}s",
        "restart": "unless-stopped",
        "depends_on": {REDIS: {"condition": "service_healthy"}},
        "deploy": {"replicas": 1, "resources": _resources(container["resources"], gpus)},
    }


def _security(pod: Manifest, container: Manifest) -> Service:
    user, rules = pod["securityContext"], container["securityContext"]
    return {
        "user": f"{user['runAsUser']}:{user['runAsGroup']}",
        "read_only": rules["readOnlyRootFilesystem"],
        "cap_drop": rules["capabilities"]["drop"],
        "security_opt": ["no-new-privileges:true"],
    }


def _image(image: Image, *, cuda: bool) -> Service:
    variable, tag = image.name.upper().replace("-", "_"), ":cuda" if cuda else ""
    build: Service = {
        "context": "../images",
        "target": image.target,
        "additional_contexts": {"application": "${ALPHASWARM_APPLICATION:-../images/reference_app}"},
    }
    if cuda:
        build["args"] = {"MORE_EXTRAS": f"${{MORE_EXTRAS:-{CUDA_EXTRA}}}"}
    return {"image": f"${{{variable}_IMAGE:-{image.name}{tag}}}", "build": build}


def _environment(container: Manifest) -> Iterator[tuple[str, str]]:
    changed = {
        "CELERY_APP": f"${{CELERY_APP:-{CELERY_APP}}}",
        "ALPHASWARM_BROKER_HOST": REDIS,
        "ALPHASWARM_BROKER_TLS": "false",
    }
    for variable in container["env"]:
        if variable["name"] not in LEFT_OUT:
            value = re.sub(
                rf"^{CACHE_DIRECTORY}\b", f"/app/data{CACHE_DIRECTORY.removeprefix('/app')}", variable["value"]
            )
            yield variable["name"], changed.get(variable["name"], _escaped(value))
    yield "ALPHASWARM_BOOTSTRAP_STATE_DIR", SECRETS_DIRECTORY


def _volumes(name: str, image: Image, pod: Manifest, container: Manifest) -> Service:
    """Return the directories to write to: of the service's own, and in memory."""
    sizes = {volume["name"]: volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"] if "emptyDir" in volume}
    names = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    lasting = [path for path in directories(image) if path in names and path != CACHE_DIRECTORY]
    shared_memory = names.get(SHARED_MEMORY_DIRECTORY)
    return {
        "tmpfs": [f"{TMP_DIRECTORY}:size={_bytes(sizes[names[TMP_DIRECTORY]])},mode=1777"],
        **({"shm_size": _bytes(sizes[shared_memory])} if shared_memory else {}),
        "volumes": [f"{name}-{path.rpartition('/')[2]}:{path}" for path in lasting],
    }


def _healthcheck(probe: Manifest, startup: Manifest) -> Service:
    return {
        "test": ["CMD", *(_escaped(word) for word in probe["exec"]["command"])],
        "interval": f"{probe['periodSeconds']}s",
        "timeout": f"{probe['timeoutSeconds']}s",
        "retries": probe["failureThreshold"],
        "start_period": f"{startup['periodSeconds'] * startup['failureThreshold']}s",
        "start_interval": f"{startup['periodSeconds']}s",
    }


def _resources(amounts: Manifest, gpus: int) -> Service:
    reserved = _amounts(amounts["requests"])
    if gpus:
        reserved["devices"] = [{"driver": "nvidia", "count": gpus, "capabilities": ["gpu"]}]
    return {"limits": _amounts(amounts["limits"]), "reservations": reserved}


def _amounts(amounts: Mapping[str, str]) -> Service:
    return {"cpus": f"{milli_cpu(amounts['cpu']) / 1000:g}", "memory": _bytes(amounts["memory"])}


def _bytes(quantity: str) -> str:
    """Return a quantity in Compose's unit of bytes, whose `m` is a MiB."""
    return f"{mebibytes(quantity)}m"


def _redis(settings: Settings) -> Service:
    """Return the broker as a stack without one of its own has it, but that it keeps what it has: there is no other."""
    broker = InClusterBroker.model_validate({"kind": "in-cluster"})
    pod = redis_deployment(settings, broker)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    print_password = f"tr -d '\"\\n' < {SECRETS_DIRECTORY}/{SECRET}"
    script = redis_script(print_password, "--appendonly yes")
    ping = f'REDISCLI_AUTH="$({print_password})" redis-cli ping | grep -q PONG'
    ready, live = container["readinessProbe"], container["livenessProbe"]
    return {
        "image": f"${{REDIS_IMAGE:-{broker.image}}}",
        "command": ["sh", "-c", LiteralStr(_escaped(script))],
        **_security(pod, container),
        "secrets": [SECRET],
        "volumes": [f"redis-data:{REDIS_DATA}"],
        "healthcheck": {
            "test": ["CMD-SHELL", _escaped(ping)],
            "interval": f"{ready['periodSeconds']}s",
            "timeout": f"{ready['timeoutSeconds']}s",
            "retries": live["failureThreshold"],
        },
        "stop_grace_period": "30s",
        "restart": "unless-stopped",
        "deploy": {"replicas": 1, "resources": _resources(container["resources"], 0)},
    }


def _send_task(beat: Service) -> Service:
    """Return a service that is started by hand, sends a task, and waits for its result."""
    kept = ("image", "build", "user", "read_only", "cap_drop", "security_opt", "environment", "secrets", "tmpfs")
    return {
        **{key: beat[key] for key in kept},
        "command": ["send", f"${{TASK:-{TASK}}}", "--wait", "${WAIT:-60}"],
        "restart": "no",
        "profiles": ["send"],
        "depends_on": {REDIS: {"condition": "service_healthy"}},
        "deploy": {"resources": beat["deploy"]["resources"]},
    }


def _escaped(text: str) -> str:
    """Return text in which Compose expands nothing."""
    return text.replace("$", "$$")
