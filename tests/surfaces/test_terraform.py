"""The Terraform module: its objects, as Terraform itself renders them, are those of the Kustomize component.

The objects need no provider, so they are rendered in a folder that has none. Reading them needs OpenTofu or Terraform.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from queues import HEAVY_QUEUES, QUEUES
from surfaces.terraform import tfvars

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "deploy/terraform"
COMPONENT = ROOT / "deploy/kustomize/components/per-queue"
OUTPUT = 'output "objects" {\n  value = { deployments = local.deployments, scaled_objects = local.scaled_objects }\n}\n'


def terraform() -> str:
    found = shutil.which("tofu") or shutil.which("terraform")
    if found is None:
        pytest.skip("neither tofu nor terraform is installed here")
    return found


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run it without the settings of whoever runs the tests."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "TOFU_"))}
    return subprocess.run([terraform(), *words], cwd=folder, env=own, capture_output=True, text=True, check=False)


def apply(folder: Path, **variables: object) -> subprocess.CompletedProcess[str]:
    """Apply the module without its resources, which need a cluster."""
    for file in [*MODULE.glob("*.tf"), *MODULE.glob("*.json")]:
        if file.name not in ("main.tf", "versions.tf"):
            shutil.copy(file, folder)
    (folder / "objects_output.tf").write_text(OUTPUT)
    given = [f"-var={name}={json.dumps(value)}" for name, value in variables.items()]
    assert run(folder, "init", "-input=false").returncode == 0
    return run(folder, "apply", "-auto-approve", "-input=false", "-no-color", *given)


def rendered(folder: Path, **variables: object) -> dict[str, dict[str, Any]]:
    done = apply(folder, **variables)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(run(folder, "output", "-json", "objects").stdout)
    return found


def component(kind: str) -> dict[str, Any]:
    """The component's objects of a kind, by queue."""
    names = {queue.deployment: queue.name for queue in QUEUES.queues}
    documents = [one for file in COMPONENT.glob("*.yaml") for one in yaml.safe_load_all(file.read_text())]
    return {names[one["metadata"]["name"]]: one for one in documents if one.get("kind") == kind}


def test_the_modules_objects_are_those_of_kustomize(tmp_path: Path) -> None:
    found = rendered(tmp_path)
    assert found["deployments"] == component("Deployment")
    assert found["scaled_objects"] == component("ScaledObject")


def test_heavy_queues_decide_the_image(tmp_path: Path) -> None:
    light = next(name for name in QUEUES.names if name not in HEAVY_QUEUES)
    images = {"executor": "registry.example.com/alphaswarm-executor@sha256:0"}
    found = rendered(tmp_path, heavy_queues=[*HEAVY_QUEUES, light], images=images)
    (container,) = found["deployments"][light]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == images["executor"]
    assert container["resources"]["limits"]["memory"] == "16Gi"
    assert found["deployments"][light]["metadata"]["name"].startswith("alphaswarm-executor-")
    assert found["scaled_objects"][light]["spec"]["scaleTargetRef"]["name"].startswith("alphaswarm-executor-")


def test_the_module_is_formatted_as_terraform_does() -> None:
    done = run(MODULE, "fmt", "-check", "-diff")
    assert done.returncode == 0, done.stdout


def test_a_queue_that_is_not_there_is_refused(tmp_path: Path) -> None:
    done = apply(tmp_path, heavy_queues=["no-such-queue"])
    assert done.returncode == 1
    assert "heavy_queues names no-such-queue; the queues are" in " ".join(done.stderr.replace("│", " ").split())


def test_the_variables_name_every_queue_and_no_secret() -> None:
    files = tfvars()
    assert set(json.loads(files["heavy_queues.auto.tfvars.json"])["heavy_queues"]) == HEAVY_QUEUES
    fleet = json.loads(files["fleet.auto.tfvars.json"])
    assert set(fleet["queues"]) == QUEUES.names
    (password,) = [one for one in fleet["profiles"]["worker"]["env"] if one["name"] == "REDIS_BROKER"]
    assert password == {
        "name": "REDIS_BROKER",
        "valueFrom": {"secretKeyRef": {"name": "alphaswarm-broker", "key": "password"}},
    }
