"""What is committed is what would be generated, and a difference is told and mended."""

import shutil
from pathlib import Path

import pytest

from surfaces.__main__ import main
from surfaces.dockerfiles import dockerfiles
from surfaces.files import generated_files

OVERLAY = "deploy/kustomize/overlays/dev/per-queue/kustomization.yaml"


@pytest.fixture
def checkout(root: Path, tmp_path: Path) -> Path:
    """A copy of every generated file and of the stacks' files."""
    for path in [*generated_files(root), *(file.name for file in root.glob("Pulumi.*.yaml"))]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / path, tmp_path / path)
    return tmp_path


def test_the_committed_files_are_up_to_date(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--check"], root)
    assert status == 0, capsys.readouterr().err


def test_a_changed_byte_is_found_shown_and_mended(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = checkout / OVERLAY
    text = file.read_text()
    file.write_text(text.replace("kind: Kustomization", "kind: Something", 1))
    assert main(["--check"], checkout) == 1
    told = capsys.readouterr().err
    assert f"stale: {OVERLAY}" in told
    assert "kind: Something" in told
    assert "make surfaces" in told
    assert file.read_text() != text, "--check must change nothing"
    assert main([], checkout) == 0
    assert file.read_text() == text
    assert main(["--check"], checkout) == 0


def test_a_missing_file_is_found_and_written(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / "docs/queues.md").unlink()
    assert main(["--check"], checkout) == 1
    assert "missing: docs/queues.md" in capsys.readouterr().err
    assert main([], checkout) == 0
    assert (checkout / "docs/queues.md").is_file()


def test_a_file_that_nothing_generates_any_more_is_found_and_removed(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / "Pulumi.staging.yaml").unlink()
    (checkout / "deploy/kustomize/README.md").write_text("by hand")
    assert main(["--check"], checkout) == 1
    assert "superfluous: deploy/kustomize/overlays/staging/per-queue/kustomization.yaml" in capsys.readouterr().err
    assert main([], checkout) == 0
    assert not (checkout / "deploy/kustomize/overlays/staging").exists()
    assert (checkout / "deploy/kustomize/README.md").read_text() == "by hand", "hand-written files stay"


def test_a_stack_file_that_cannot_be_used_is_one_message(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = checkout / "Pulumi.dev.yaml"
    before = (checkout / OVERLAY).read_bytes()
    file.write_text(file.read_text().replace("fleet:environment: dev", "fleet:environment: tset"))
    assert main([], checkout) == 1
    told = capsys.readouterr()
    assert "fleet:environment" in told.err
    assert told.out == ""
    assert (checkout / OVERLAY).read_bytes() == before


def test_every_generated_file_that_can_hold_a_comment_says_so(root: Path) -> None:
    in_part = set(dockerfiles(root))
    silent = [path for path, text in generated_files(root).items() if "make surfaces" not in text[:300]]
    # JSON has no comments; the schema has a field for what it is generated from.
    assert [path for path in silent if path not in in_part and not path.endswith(".json")] == []
    assert in_part, "the lines that are generated say it themselves"
