"""docs/your-own-queues.md, walked in a copy of the checkout with the page's own files and rows."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.application import Wanted, folder_findings
from queues import IMAGES
from tests.images.locks import FITS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/your-own-queues.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*")  # neither history, nor environment, nor state
TESTS = (
    "tests/test_catalogue.py",
    "tests/images/test_dockerfiles.py",
    "tests/program/test_partition.py::test_every_queue_is_drained_by_exactly_one_deployment",
)
BUILDING = ("Pulumi.dev.yaml", "Pulumi.local.yaml")


def block(beginning: str) -> str:
    """The page's only block that begins so. Raises ValueError when there is none, or several."""
    (text,) = (str(text) for _, text in BLOCKS if text.startswith(beginning))
    return text


def files() -> Iterator[tuple[str, str]]:
    """The application's files, by path from the clone."""
    for _, text in BLOCKS:
        if found := re.match(r"# (\.\./desk/\S+)\n", text):
            yield found[1], text[found.end() :]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, with the application beside it and the page's rows in it."""
    clone = tmp_path_factory.mktemp("walk") / "alphaswarm-fleet"
    shutil.copytree(ROOT, clone, symlinks=True, ignore=LEFT_OUT)
    for folder in ("images", *(f"images/{image.standalone_folder}" for image in IMAGES)):
        shutil.copy(ROOT / folder / ".dockerignore", clone / folder)
    shutil.copy(ROOT / ".hadolint.yaml", clone)
    for path, text in files():
        (clone / path).parent.mkdir(parents=True, exist_ok=True)
        (clone / path).write_text(text)
    (clone / "../desk/uv.lock").write_text(FITS)  # `uv lock` asks an index
    text = (clone / "queues.py").read_text()
    before, _, rest = text.partition("QUEUES = Catalogue(\n")
    after = rest.partition(")  # fmt: skip\n")[2]
    (clone / "queues.py").write_text(before + block("QUEUES = Catalogue(\n") + after)
    return clone


def run(clone: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the clone."""
    return subprocess.run([sys.executable, *command], cwd=clone, capture_output=True, text=True, check=False)


def tune_nothing_and_name_the_application(clone: Path) -> None:
    """The page's changes of the stacks' files."""
    for file in clone.glob("Pulumi.*.yaml"):
        text = re.sub(r"^  fleet:scaling:\n(    .*\n)+", "", file.read_text(), flags=re.MULTILINE)
        text = text.replace("config:\n", "config:\n" + block("  fleet:celeryApp"), 1)
        if file.name in BUILDING:
            text = text.replace("  fleet:images:\n    source: build\n", block("  fleet:images:\n"))
        file.write_text(text)


def test_the_page_can_be_walked_from_its_rows_to_tests_that_pass(clone: Path) -> None:
    refused = run(clone, "-m", "surfaces")
    assert refused.returncode == 1
    assert refused.stderr == block("$ make surfaces\nThe stack's").partition("\n")[2], "the page shows another message"

    tune_nothing_and_name_the_application(clone)
    done = run(clone, "-m", "surfaces")
    assert done.returncode == 0, done.stderr
    shown = block("$ make surfaces\nwrote").splitlines()[1:]
    assert [line for line in shown if line != "…" and line not in done.stdout.splitlines()] == []
    assert run(clone, "-m", "surfaces", "--check").returncode == 0

    table = run(clone, "-m", "pytest", "-q", "tests/test_catalogue.py")
    assert "1 failed, 1 passed" in table.stdout, table.stdout
    told = [line for line in block("$ .venv/bin/python -m pytest").splitlines()[1:] if line != "…"]
    assert [line for line in told if line not in table.stdout] == []

    rows = (clone / "tests/test_catalogue.py").read_text()
    rows = re.sub(r"^ROWS = \{\n.*?^\}", "ROWS = {\n" + "\n".join(told) + "\n}", rows, flags=re.DOTALL | re.MULTILINE)
    (clone / "tests/test_catalogue.py").write_text(rows)
    tested = run(clone, "-m", "pytest", "-q", *TESTS)
    assert tested.returncode == 0, tested.stdout


def test_the_pages_application_lacks_nothing_that_the_images_need(clone: Path) -> None:
    assert folder_findings(clone / "../desk", Wanted())[0] == []


def test_the_pages_application_routes_to_the_pages_queues(clone: Path) -> None:
    ask = (
        f"import sys; sys.path.insert(0, {str(clone / '../desk/src')!r})\n"
        "from desk.celery_app import app\n"
        "print(*(app.amqp.router.route({}, task)['queue'].name for task in app.conf.task_routes))"
    )
    done = run(clone, "-c", ask)
    rows = re.findall(
        r'^            "([\w.-]+)", (?:WORKER|EXECUTOR)', block("QUEUES = Catalogue(\n"), flags=re.MULTILINE
    )
    assert done.stdout.split() == rows, done.stderr
    assert len(rows) == 3
