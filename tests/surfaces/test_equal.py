"""Every surface is read back from its file, and one that says something else of a queue is named."""

import json
import re
import shutil
from pathlib import Path

import pytest

from queues import IMAGES, QUEUES, Queue
from surfaces.__main__ import main
from surfaces.equal.compare import differences, read, surfaces

ROOT = Path(__file__).parents[2]
HEAVY, LIGHT = (next(queue for queue in QUEUES.queues if queue.image is image) for image in reversed(IMAGES))
WORKER, EXECUTOR = (image.name for image in IMAGES)
COMPOSE = ("deploy/compose.yaml", "deploy/compose.legacy.yaml")
COMPONENT = "deploy/kustomize/components/per-queue"
HEAVY_FILE = f"{COMPONENT}/{HEAVY.deployment}.yaml"
SCALERS = f"{COMPONENT} (scalers)"


def first_of(queue: Queue) -> re.Pattern[str]:
    """A list of queues that begins with this one, as YAML writes it: in quotes where it has several."""
    return re.compile(rf'(QUEUES"?:? *\n? *(?:value: )?"?){re.escape(queue.name)}(?=[,"\n])')


# A surface, a file of it, a text in that or a pattern, and what takes its place.
CHANGES = [
    ("images/Dockerfile", "images/Dockerfile", f'EXECUTOR_QUEUES="{HEAVY.name}', f'EXECUTOR_QUEUES="x{HEAVY.name}'),
    ("images/Dockerfile", "images/Dockerfile", 'EXECUTOR_CONCURRENCY="2"', 'EXECUTOR_CONCURRENCY="3"'),
    ("images/Dockerfile", "images/Dockerfile", "USER 65532:65532", "USER 65533:65532"),
    ("images/Dockerfile", "images/Dockerfile", f'title="{EXECUTOR}"', f'title="{WORKER}"'),
    *(
        (f"images/{image.standalone_folder}/Dockerfile", f"images/{image.standalone_folder}/Dockerfile", old, new)
        for image in IMAGES
        for old, new in (
            (f'CONCURRENCY="{image.concurrency}"', 'CONCURRENCY="9"'),
            (QUEUES.of(image)[-1].name, "q"),
            ("USER 65532", "USER 65531"),
        )
    ),
    *(
        (path, path, old, new)
        for path in COMPOSE
        for old, new in (
            (first_of(HEAVY), f"\\1x{HEAVY.name}"),
            (first_of(HEAVY), f"\\1{LIGHT.name},{HEAVY.name}"),
            ("EXECUTOR_IMAGE:-alphaswarm-executor", "EXECUTOR_IMAGE:-alphaswarm-executer"),
            ('memory: "16384m"', 'memory: "16383m"'),
            ('cpus: "0.5"', 'cpus: "0.6"'),
            ('ALPHASWARM_CONCURRENCY: "4"', 'ALPHASWARM_CONCURRENCY: "5"'),
            ("target: executor", "target: worker"),
            ('user: "65532:65532"', 'user: "0:65532"'),
        )
    ),
    *(
        ("deploy/kustomize/base", f"deploy/kustomize/base/{EXECUTOR}/deployment.yaml", old, new)
        for old, new in (
            (first_of(HEAVY), f"\\1{LIGHT.name}"),
            ('memory: "16Gi"', 'memory: "17Gi"'),
            ("runAsUser: 65532", "runAsUser: 65530"),
            ("image: alphaswarm-executor\n        imagePull", "image: alphaswarm-worker\n        imagePull"),
        )
    ),
    (COMPONENT, HEAVY_FILE, f"value: {HEAVY.name}\n", f"value: {LIGHT.name}\n"),
    (COMPONENT, HEAVY_FILE, f'ALPHASWARM_CONCURRENCY\n          value: "{HEAVY.concurrency}"',
     'ALPHASWARM_CONCURRENCY\n          value: "7"'),
    (SCALERS, HEAVY_FILE, f"listName: {HEAVY.name}\n", f"listName: {HEAVY.name}s\n"),
    (SCALERS, HEAVY_FILE, f"    name: {HEAVY.deployment}\n", f"    name: {LIGHT.deployment}\n"),
    ("deploy/image-catalogue.yaml", "deploy/image-catalogue.yaml", f"- {HEAVY.name}\n", ""),
    ("deploy/image-catalogue.yaml", "deploy/image-catalogue.yaml", "concurrency: 2", "concurrency: 1"),
    ("deploy/image-catalogue.yaml", "deploy/image-catalogue.yaml", "repository: alphaswarm-executor", "repository: x"),
    ("deploy/topology/prod.yaml", "deploy/topology/prod.yaml", f"- {HEAVY.name}\n", f"- {LIGHT.name}\n"),
    ("deploy/topology/dev.yaml", "deploy/topology/dev.yaml", "image: alphaswarm-executor", "image: alphaswarm-worker"),
    *(
        ("deploy/terraform", f"deploy/terraform/{file}.auto.tfvars.json", old, new)
        for file, old, new in (
            ("heavy_queues", f'"{HEAVY.name}"', f'"{HEAVY.name}", "{LIGHT.name}"'),
            ("heavy_queues", f'"{HEAVY.name}"', f'"{HEAVY.name}1"'),
            ("fleet", '"memory": "16Gi"', '"memory": "15Gi"'),
            ("fleet", '"image": "alphaswarm-worker"', '"image": "alphaswarm-executor"'),
        )
    ),
    ("docs/queues.md", "docs/queues.md", f"| `{HEAVY.name}` | {EXECUTOR} |", f"| `{HEAVY.name}` | {WORKER} |"),
    *(
        ("images/runtime/src/alphaswarm_runtime/catalogue.json",) * 2 + change
        for change in (
            ('"name": "alphaswarm-executor"', '"name": "alphaswarm-exec"'),
            (f'        "{HEAVY.name}"', f'        "{LIGHT.name}"'),
        )
    ),
]  # fmt: skip


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the readers read."""
    for folder in ("deploy", "docs", "images"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "secrets"))
    for file in ROOT.glob("Pulumi.*.yaml"):
        shutil.copy(file, tmp_path)
    return tmp_path


def test_the_committed_surfaces_say_the_same_of_every_queue() -> None:
    readings, errors = read(ROOT)
    assert (errors, differences(readings)) == ([], [])
    named = {reading.surface.name: set(reading.assignments) for reading in readings}
    assert set(named) == {surface.name for surface in surfaces(ROOT)}
    assert set.union(*named.values()) == QUEUES.names, "a queue is on no surface"


@pytest.mark.parametrize(("surface", "file", "old", "new"), CHANGES)
def test_a_surface_that_says_something_else_is_named(
    checkout: Path, capsys: pytest.CaptureFixture[str], surface: str, file: str, old: str | re.Pattern[str], new: str
) -> None:
    text = (checkout / file).read_text()
    changed = text.replace(old, new) if isinstance(old, str) else old.sub(new, text)
    assert changed != text, "the test changes nothing"
    (checkout / file).write_text(changed)
    assert main(["equal", "--quiet"], checkout) in (1, 2)
    lines = capsys.readouterr().out.splitlines()
    assert {line.partition(":")[0] for line in lines} <= {surface, SCALERS if surface == COMPONENT else surface}
    assert lines


def test_a_queue_of_two_images_is_said_so(checkout: Path) -> None:
    file = checkout / "deploy/compose.yaml"
    file.write_text(first_of(HEAVY).sub(f"\\1{HEAVY.name},{LIGHT.name}", file.read_text()))
    lines = differences(read(checkout)[0])
    assert f"deploy/compose.yaml: queue {LIGHT.name} is drained by {EXECUTOR} and {WORKER}" in lines


@pytest.mark.parametrize("surface", [one.path for one in surfaces(ROOT)])
@pytest.mark.parametrize("text", [None, "[", "a: 1\n"])
def test_a_surface_that_is_missing_or_broken_is_one_line(
    checkout: Path, capsys: pytest.CaptureFixture[str], surface: str, text: str | None
) -> None:
    path = checkout / surface
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
        if text is not None:
            path.write_text(text)
    assert main(["equal", "--quiet"], checkout) in (1, 2)
    assert surface in capsys.readouterr().out


def test_the_tables_show_every_surface_and_queue(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["equal"]) == 0
    out = capsys.readouterr().out
    assert [one.name for one in surfaces(ROOT) if f"\n{one.name} " not in out] == []
    assert [name for name in QUEUES.names if f"\n{name} " not in out] == []
    assert main(["equal", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["differences"] == found["unreadable"] == []
    assert found["surfaces"]["deploy/compose.yaml"][HEAVY.name]["image"] == EXECUTOR
