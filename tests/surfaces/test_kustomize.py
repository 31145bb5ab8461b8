"""The Kustomize tree and the Pulumi program say the same, whatever a stack may say."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from config.loading import parse
from config.schema import Settings
from manifests import Manifest
from queues import IMAGES, QUEUES
from surfaces.base_settings import BARE_IMAGES, LAYOUTS, Layout, base_settings, with_layout
from surfaces.kustomize import kustomize_tree
from tests.own_rows import OWN_ROWS, catalogue
from tests.pod_options import SCOPES, pod_options
from tests.program.harness import written_objects
from tests.surfaces.compare import compare

STACKS = ("dev", "local", "prod", "staging")
REGISTRY = "111122223333.dkr.ecr.eu-central-1.amazonaws.com"
DIGESTS = {image.name: f"{REGISTRY}/{image.name}@sha256:{index:064x}" for index, image in enumerate(IMAGES, start=10)}

LABELS = {"project": "p", "costCenter": "c", "owner": "o", "dataClassification": "restricted"}
EXTERNAL_BARE = {"kind": "external", "host": "redis.example.com"}
EXTERNAL = {**EXTERNAL_BARE, "existingSecret": "redis"}
PROMOTED = {"source": "promote", "stack": "a/b/c"}

# Each case reaches fields that no committed stack touches, alone and together.
CASES: Mapping[str, Mapping[str, Any]] = {
    "least": {"environment": "dev", "images": PROMOTED, "broker": EXTERNAL, "labels": LABELS},
    "labels-that-look-like-other-types": {
        "environment": "dev",
        "images": PROMOTED,
        "broker": EXTERNAL,
        "labels": {"project": "1e3", "costCenter": "089", "owner": "true", "dataClassification": "public"},
    },
    "another-namespace": {
        "environment": "staging",
        "namespace": "team-a",
        "images": PROMOTED,
        "broker": {"kind": "in-cluster", "database": 3},
        "labels": LABELS,
    },
    "given-digests": {
        "environment": "dev",
        "images": {"source": "digests", "worker": DIGESTS[IMAGES[0].name], "executor": DIGESTS[IMAGES[1].name]},
        "broker": EXTERNAL,
        "labels": LABELS,
    },
    "fetched-password": {
        "environment": "dev",
        "images": PROMOTED,
        "broker": {**EXTERNAL_BARE, "externalSecret": {"store": "vault", "key": "redis"}, "ca": {"secret": "root"}},
        "labels": LABELS,
    },
    "no-password": {
        "environment": "dev",
        "images": PROMOTED,
        "broker": {**EXTERNAL_BARE, "tls": False, "passwordless": True},
        "labels": LABELS,
    },
    "everything": {
        "environment": "prod",
        "namespace": "yes",
        "images": PROMOTED,
        "broker": {
            **EXTERNAL, "port": 6380, "user": "no", "database": 5, "ca": {"configMap": "root"},
            "existingSecretKey": "redis-password", "resultUrl": {"secret": "results", "key": "url"},
        },
        "celeryApp": "other.app:celery",
        "scaling": {
            "heavy": {"concurrency": 7, "pollingInterval": 1, "softShutdown": 60},
            "Risk.intra_day": {"minReplicas": 1, "timeLimit": 60, "gracePeriod": 61, "visibilityTimeout": 62},
            "gpu": {"maxReplicas": 1},
            "resumes": {"softShutdown": 500},
        },
        "metrics": {"enabled": True, "scrapeNamespace": "on"},
        "tracing": {"endpoint": "http://otel:4317", "sampleRatio": 1},
        "gpu": {
            "count": 2,
            "nodeSelector": {"gpu": "true", "example.com/gpu": "1"},
            "tolerations": [{"key": "k", "operator": "Equal", "value": "0"}],
            "resource": "amd.com/gpu",
        },
        "pods": {**{scope: pod_options(scope) for scope in SCOPES}, "queues": {"gpu": pod_options("gpu")}},
        "volumes": {
            "/app/data": {"kind": "claim", "claim": "data", "subPath": "fleet"},
            "/app/models": {"kind": "ephemeral", "storageClass": "fast", "size": "100Gi", "queues": ["gpu"]},
            "/app/cache": {"kind": "emptyDir", "size": "50Gi"},
        },
        "egress": [{"cidr": "10.0.0.0/8", "ports": [5432, 443]}, {"cidr": "10.1.0.0/16", "ports": [1]}],
        "quota": {"headroom": 3.5},
        "markBusyPods": False,
        "labels": LABELS,
    },
}  # fmt: skip


@pytest.fixture
def own_rows() -> Iterator[None]:
    with catalogue(OWN_ROWS):
        yield


def _settings(case: str) -> Settings:
    secrets = {"brokerPassword"} if CASES[case]["broker"]["kind"] == "in-cluster" else set[str]()
    return parse(CASES[case], frozenset(secrets))


def _write(folder: Path, stack: str, settings: Settings) -> Path:
    for path, text in kustomize_tree({stack: settings}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder / "overlays" / stack


def test_every_stack_has_its_overlays(root: Path, settings_of: Mapping[str, Settings]) -> None:
    folders = {
        path.relative_to(root / "deploy/kustomize/overlays").as_posix()
        for path in root.glob("deploy/kustomize/overlays/*/*")
    }
    assert tuple(sorted(settings_of)) == STACKS, "a stack came or went: this test sweeps the old ones"
    assert folders == {f"{stack}/{layout}" for stack in STACKS for layout in LAYOUTS}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("stack", STACKS)
def test_a_committed_overlay_yields_the_objects_of_its_stack(
    stack: str,
    layout: Layout,
    root: Path,
    settings_of: Mapping[str, Settings],
    kustomize: Callable[[Path], list[Manifest]],
    with_digests: Callable[[Path, Mapping[str, str]], Path],
) -> None:
    folder = with_digests(root / "deploy/kustomize/overlays" / stack / layout, DIGESTS)
    expected = written_objects(with_layout(settings_of[stack], layout), DIGESTS)
    differences = compare(expected, kustomize(folder))
    assert not differences, "who deploys with Kustomize gets another fleet:\n" + "\n".join(differences)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("own_rows")
def test_an_overlay_can_say_whatever_a_stack_can(
    case: str, layout: Layout, tmp_path: Path, kustomize: Callable[[Path], list[Manifest]]
) -> None:
    settings = _settings(case)
    overlay = _write(tmp_path, case, settings) / layout
    images = DIGESTS if case == "given-digests" else BARE_IMAGES
    differences = compare(written_objects(with_layout(settings, layout), images), kustomize(overlay))
    assert not differences, "\n".join(differences)


def test_the_base_alone_is_the_per_image_layout(root: Path, kustomize: Callable[[Path], list[Manifest]]) -> None:
    actual = kustomize(root / "deploy/kustomize/base")
    assert compare(written_objects(base_settings("per-image"), BARE_IMAGES), actual) == []


@pytest.mark.usefixtures("own_rows")
def test_a_patch_that_says_something_else_is_found_and_named(
    tmp_path: Path, kustomize: Callable[[Path], list[Manifest]]
) -> None:
    settings = parse({**CASES["least"], "scaling": {"heavy": {"maxReplicas": 4}}})
    overlay = _write(tmp_path, "x", settings) / "per-queue"
    file = overlay / "kustomization.yaml"
    text = file.read_text()
    assert text.count("/spec/maxReplicaCount, value: 4}") == 1
    file.write_text(text.replace("/spec/maxReplicaCount, value: 4}", "/spec/maxReplicaCount, value: 5}"))
    differences = compare(written_objects(settings, BARE_IMAGES), kustomize(overlay))
    assert differences == [
        "keda.sh/v1alpha1 ScaledObject alphaswarm-executor-heavy in alphaswarm: spec.maxReplicaCount: expected 4, got 5"
    ]


def test_an_overlay_refuses_a_base_whose_variables_moved(
    root: Path, tmp_path: Path, kustomize: Callable[[Path], list[Manifest]]
) -> None:
    shutil.copytree(root / "deploy/kustomize", tmp_path / "kustomize")
    file = tmp_path / "kustomize/base/alphaswarm-worker/deployment.yaml"
    file.write_text(
        file.read_text().replace("- name: CELERY_APP", "- name: NEW\n          value: x\n        - name: CELERY_APP")
    )
    with pytest.raises(RuntimeError, match="test failed"):
        kustomize(tmp_path / "kustomize/overlays/prod/per-image")


def test_no_overlay_scales_a_deployment_twice(root: Path, kustomize: Callable[[Path], list[Manifest]]) -> None:
    for overlay in sorted(root.glob("deploy/kustomize/overlays/*/*")):
        kinds = {found["kind"] for found in kustomize(overlay)}
        scaler = "HorizontalPodAutoscaler" if overlay.name == "per-image" else "ScaledObject"
        assert kinds & {"HorizontalPodAutoscaler", "ScaledObject"} == {scaler}, overlay


def test_no_file_of_the_tree_holds_a_secret(root: Path) -> None:
    files = [file for file in (root / "deploy/kustomize").rglob("*.yaml") if "\nkind: Secret\n" in file.read_text()]
    assert files == [], "a password would be in the history for good"


def test_the_tree_has_the_files_that_an_image_takes_along(root: Path) -> None:
    common = {"deployment.yaml", "hpa.yaml", "pdb.yaml", "kustomization.yaml"}
    beat = {"beat-deployment.yaml", "beat-role.yaml", "beat-role-binding.yaml"}
    base = root / "deploy/kustomize/base"
    assert {file.name for file in (base / "alphaswarm-executor").iterdir()} == common
    assert {file.name for file in (base / "alphaswarm-worker").iterdir()} == {*common, *beat}


def test_the_component_has_one_file_a_queue(root: Path) -> None:
    files = {file.stem for file in (root / "deploy/kustomize/components/per-queue").iterdir()}
    assert files == {queue.deployment for queue in QUEUES.queues} | {
        "kustomization",
        "name-references",
        "trigger-authentication",
    }


@pytest.mark.usefixtures("own_rows")
def test_an_overlay_changes_only_what_its_stack_says(tmp_path: Path) -> None:
    settings = parse({**CASES["least"], "scaling": {"heavy": {"maxReplicas": 4}}})
    text = (_write(tmp_path, "x", settings) / "per-queue/kustomization.yaml").read_text()
    assert text.count("maxReplicaCount") == 1, "a tuned queue must not drag the other queues' rows into the review"
    assert "minReplicaCount" not in text


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_object_that_a_stack_does_not_want_is_deleted(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kustomize: Callable[[Path], list[Manifest]]
) -> None:
    """Today no stack does: what the base has, all have. So the base gets something for this test."""
    monkeypatch.setattr(
        "surfaces.base_settings._BASE_CONFIG", {**CASES["least"], "broker": EXTERNAL_BARE, "metrics": {"enabled": True}}
    )
    settings = _settings("least")
    overlay = _write(tmp_path, "least", settings) / layout
    text = (overlay / "kustomization.yaml").read_text()
    assert text.count("$patch: delete") == 1, "the policy that lets metrics be read"
    assert compare(written_objects(with_layout(settings, layout), BARE_IMAGES), kustomize(overlay)) == []


def test_what_all_deployments_share_is_one_patch(root: Path) -> None:
    """Each has one variable of its own between two that all have."""
    text = (root / "deploy/kustomize/overlays/prod/per-queue/kustomization.yaml").read_text()
    assert text.count("name: OTEL_SERVICE_NAME") == len(QUEUES.queues) + 1, "each queue and beat"
    assert text.count("name: OTEL_EXPORTER_OTLP_ENDPOINT") == 1
    assert text.count("name: OTEL_TRACES_SAMPLER_ARG") == 1
