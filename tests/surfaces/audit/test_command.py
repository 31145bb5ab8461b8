"""The command: its formats, its exit status, silences, files that cannot be read, and a large checkout."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from surfaces.__main__ import main as surfaces
from surfaces.audit.command import CLEAN, FOUND, UNREADABLE, audit, main
from surfaces.audit.model import Severity
from surfaces.audit.report import as_json, sarif, table
from surfaces.audit.rules import RULES
from surfaces.audit.silence import RULE as SILENCE_RULE
from tests.surfaces.audit.conftest import Audit

Plant = Callable[[Mapping[str, str]], Path]

TWICE = """
services:
  a:
    image: one
    command: celery -A shop worker -Q mail
  b:
    image: two
    command: celery -A shop worker -Q mail
"""
BEATS = "a: celery -A s beat\nb: celery -A s beat\n"
UNUSED = {
    "shop/celery.py": "from celery import Celery\napp = Celery()\n@app.task\ndef f(): ...\n",
    "Procfile": "w: celery -A shop worker -Q celery,legacy\n",
}


# Formats


def test_the_table_has_the_queues_and_all_of_a_finding(audited: Audit) -> None:
    text = table(audited({"docker-compose.yml": TWICE}))
    assert "mail   -        compose a (docker-compose.yml); compose b (docker-compose.yml)" in text
    assert "docker-compose.yml:7: error: queue 'mail' is drained by two images" in text
    assert "[queue-drained-by-two-images]" in text
    assert "why: " in text
    assert "do:  " in text
    assert "1 errors, 0 warnings, 0 silenced, 0 files unreadable; 1 of 1 files read" in text


def test_the_table_of_nothing_says_so(audited: Audit) -> None:
    assert "No queue of Celery was found." in table(audited({"README.md": "nothing"}))


def test_json_has_queues_workers_and_findings(audited: Audit) -> None:
    found = json.loads(as_json(audited({"docker-compose.yml": TWICE})))
    (queue,) = found["queues"]
    assert queue["name"] == "mail"
    assert [worker["image"] for worker in queue["drained_by"]] == ["one", "two"]
    (finding,) = found["findings"]
    assert finding["path"] == "docker-compose.yml"
    assert finding["certain"] is True
    assert {"rule", "severity", "line", "queue", "message", "evidence", "why", "what_to_do", "related"} <= set(finding)


def run_of(text: str) -> dict[str, Any]:
    log = json.loads(text)
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    (run,) = log["runs"]
    assert isinstance(run, dict)
    return run


def test_sarif_has_what_github_asks_for(audited: Audit) -> None:
    run = run_of(sarif(audited({"with space/docker-compose.yml": TWICE})))
    rules = run["tool"]["driver"]["rules"]
    assert run["tool"]["driver"]["name"]
    for rule in rules:
        assert rule["id"]
        assert rule["shortDescription"]["text"]
        assert rule["fullDescription"]["text"]
        assert rule["help"]["text"]
        assert rule["defaultConfiguration"]["level"] in ("warning", "error")
    (result,) = run["results"]
    assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == "queue-drained-by-two-images"
    assert result["level"] == "error"
    assert result["message"]["text"]
    assert result["partialFingerprints"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "with%20space/docker-compose.yml", "a relative reference, not a path"
    assert place["region"]["startLine"] == 7
    assert result["relatedLocations"]


def test_a_fingerprint_stays_when_lines_move(plant: Plant) -> None:
    prints = []
    for text in (TWICE, "# moved\n# down\n" + TWICE):
        run = run_of(sarif(audit(plant({"docker-compose.yml": text}))))
        prints.append(run["results"][0]["partialFingerprints"])
    assert prints[0] == prints[1]


def test_sarif_tells_what_was_silenced_and_what_was_not_read(audited: Audit) -> None:
    silence = "    # audit: ignore[queue-drained-by-two-images] moving house\n"
    text = TWICE.replace(
        "    command: celery -A shop worker -Q mail\n  b", "    command: celery -A shop worker -Q mail\n  b"
    )
    text = text.replace("    image: two\n", "    image: two\n" + silence)
    run = run_of(sarif(audited({"docker-compose.yml": text, "compose.yml": "services:\n  a: {image: [\n"})))
    (result,) = run["results"]
    assert result["suppressions"] == [{"kind": "inSource", "justification": "moving house"}]
    (notification,) = run["invocations"][0]["toolExecutionNotifications"]
    assert notification["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "compose.yml"


# Exit status


def test_the_status_says_clean_findings_or_unreadable(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    root = plant({"Procfile": "w: celery -A s worker\n"})
    assert main([str(root)]) == CLEAN == 0
    plant({"broken/compose.yml": "services:\n  a: {image: [\n"})
    assert main([str(root)]) == UNREADABLE == 2
    plant({"docker-compose.yml": TWICE})
    assert main([str(root)]) == FOUND == 1, "findings count although a file is broken"
    assert main([str(root / "missing")]) == 2
    told = capsys.readouterr().err
    assert told == f"audit: {root / 'missing'}: no such folder\n"


def test_only_what_is_bad_enough_counts(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    root = plant(UNUSED)
    assert main([str(root)]) == 1
    assert main([str(root), "--severity", "error"]) == 0
    assert "queue-not-routed" in capsys.readouterr().out, "it is told all the same"


def test_a_report_goes_to_a_file(plant: Plant, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = plant({"docker-compose.yml": TWICE})
    file = tmp_path / "audit.sarif"
    assert main([str(root), "--format", "sarif", "--output", str(file)]) == 1
    assert capsys.readouterr().out == ""
    assert run_of(file.read_text())["results"]
    assert main([str(root), "--output", str(tmp_path / "no" / "folder")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_rules_are_listed_without_a_path(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rules"]) == 0
    listed = capsys.readouterr().out
    assert all(rule.id in listed and rule.summary in listed for rule in RULES)


def test_a_command_without_a_path_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "PATH is missing" in capsys.readouterr().err


def test_the_generators_command_has_the_audit_as_a_word(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    assert surfaces(["audit", str(plant({"docker-compose.yml": TWICE}))]) == 1
    assert "two images" in capsys.readouterr().out


def test_the_audit_imports_nothing_of_the_program(root: Path) -> None:
    """It is to run where only PyYAML is installed."""
    code = (
        "import sys\nfrom surfaces.__main__ import main\nassert main(['audit', '--rules']) == 0\n"
        "bad = {'pulumi', 'pydantic', 'config', 'manifests', 'queues'} & set(sys.modules)\nassert not bad, bad\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# Silences


@pytest.mark.parametrize(
    "procfile",
    [
        "a: celery -A s beat\nb: celery -A s beat  # audit: ignore[beat-twice] one is paused by hand\n",
        "a: celery -A s beat\n# audit: ignore[beat-twice] one is paused by hand\nb: celery -A s beat\n",
        "a: celery -A s beat\n"
        "# audit: ignore[queue-not-routed, beat-twice]: one is paused by hand\nb: celery -A s beat\n",
    ],
)
def test_a_comment_with_a_reason_silences(procfile: str, audited: Audit) -> None:
    report = audited({"Procfile": procfile})
    assert not report.findings
    (silenced,) = report.silenced
    assert silenced[1].reason == "one is paused by hand"


@pytest.mark.parametrize(
    "entry",
    [
        {"rule": "beat-twice", "reason": "r"},
        {"rule": ["beat-twice", "profiles-differ"], "path": "Proc*", "reason": "r"},
    ],
)
def test_an_entry_of_the_file_silences(entry: Mapping[str, object], audited: Audit) -> None:
    report = audited({"Procfile": BEATS, ".queue-audit.yaml": yaml.safe_dump({"ignore": [entry]})})
    assert not report.findings
    assert len(report.silenced) == 1


@pytest.mark.parametrize(
    "entry",
    [
        {"rule": "queue-not-routed", "reason": "r"},
        {"rule": "beat-twice", "path": "other/*", "reason": "r"},
        {"rule": "beat-twice", "queue": "mail", "reason": "r"},
    ],
)
def test_a_silence_for_something_else_silences_nothing(entry: Mapping[str, object], audited: Audit) -> None:
    report = audited({"Procfile": BEATS, ".queue-audit.yaml": yaml.safe_dump({"ignore": [entry]})})
    assert [finding.rule for finding in report.findings] == ["beat-twice"]


@pytest.mark.parametrize(
    ("path", "text", "line"),
    [
        ("Procfile", BEATS.rstrip() + "  # audit: ignore[beat-twice]\n", 2),
        ("Procfile", BEATS.rstrip() + "  # audit: ignore[beat-thrice] a reason\n", 2),
        ("Procfile", BEATS.rstrip() + "  # audit: ignore[] a reason\n", 2),
        (".queue-audit.yaml", "ignore:\n- rule: beat-twice\n", 2),
        (".queue-audit.yaml", "ignore: [\n", 2),
    ],
)
def test_a_silence_without_reason_or_rule_is_an_error_itself(path: str, text: str, line: int, audited: Audit) -> None:
    report = audited({"Procfile": BEATS, path: text})
    faults = [finding for finding in report.findings if finding.rule == SILENCE_RULE]
    assert [(fault.location.path, fault.location.line, fault.severity) for fault in faults] == [
        (path, line, Severity.ERROR)
    ]
    assert any(finding.rule == "beat-twice" for finding in report.findings), "and it silences nothing"


# What cannot be read


@pytest.mark.parametrize(
    ("path", "text", "line"),
    [
        ("shop/tasks.py", "import celery\ndef f(:\n", 2),
        ("old/tasks.py", "import celery\nprint 'Python 2'\n", 2),
        ("docker-compose.yml", "services:\n  a:\n   image: x\n  - b\n", 4),
        ("k8s/worker.yaml", "apiVersion: apps/v1\nkind: Deployment\nworker: [\n", 4),
        ("k/kustomization.yaml", "resources: [\n", 2),
        ("c/values.yaml", "worker: [\n", 2),
    ],
)
def test_a_broken_file_is_told_and_the_rest_is_read(path: str, text: str, line: int, audited: Audit) -> None:
    files = {path: text, "ok/Procfile": BEATS, "c/Chart.yaml": "name: c\n"}
    report = audited(files)
    assert [(broken.location.path, broken.location.line) for broken in report.facts.unreadable] == [(path, line)]
    assert [finding.rule for finding in report.findings] == ["beat-twice"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("{{name}}/docker-compose.yml", "services:\n  {% if x %}\n  a: {image: x}\n  {% endif %}\n"),
        ("t/tasks.py", "import celery\n{% if x %}\nx = 1\n{% endif %}\n"),
        ("k8s/worker.yaml.yaml", "apiVersion: v1\nkind: Pod\nworker: {{ name }\n"),
        ("docs/broken.py", "import celery\ndef f(:\n"),
        ("notes.yaml", "this: [is no Compose file\n"),
    ],
)
def test_templates_and_what_does_not_matter_are_not_broken(path: str, text: str, audited: Audit) -> None:
    assert not audited({path: text}).facts.unreadable


def test_bytes_that_are_no_text_break_nothing(plant: Plant, tmp_path: Path) -> None:
    root = plant({"Procfile": BEATS})
    noise = bytes(range(256)) * 40
    names = ["a.py", "docker-compose.yml", "k.yaml", "Dockerfile", "x.service", "s.conf", "m.tf", "run.sh", "Makefile"]
    for name in names:
        (tmp_path / name).write_bytes(
            b"celery worker services: image: kind: apiVersion: ExecStart [program:a]\n" + noise
        )
    assert [finding.rule for finding in audit(root).findings] == ["beat-twice"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission_is_told(plant: Plant) -> None:
    root = plant({"docker-compose.yml": TWICE})
    (root / "docker-compose.yml").chmod(0)
    assert len(audit(root).facts.unreadable) == 1


# A large checkout


def test_a_needle_is_found_among_five_thousand_files(tmp_path: Path) -> None:
    for number in range(5000):
        folder = tmp_path / f"package{number // 50}"
        folder.mkdir(exist_ok=True)
        if number % 2:
            (folder / f"module{number}.py").write_text(f"import os\n\n\ndef f{number}():\n    return {number}\n" * 20)
        else:
            (folder / f"manifest{number}.yaml").write_text(
                f"apiVersion: v1\nkind: Service\nmetadata: {{name: s{number}}}\n"
            )
    (tmp_path / "package7/Procfile").write_text(BEATS)
    report = audit(tmp_path)
    assert report.facts.files == 5001
    assert [str(finding.location) for finding in report.findings] == ["package7/Procfile:2"]


# What the documentation shows

SHOP = {
    "shop/celery.py": """
    from celery import Celery

    app = Celery("shop", broker="redis://redis:6379/0")
    app.conf.update(
        task_acks_late=True,
        task_time_limit=1800,
        task_routes={"shop.mail.*": {"queue": "mail"}, "shop.reports.*": {"queue": "reports"}},
    )
    """,
    "docker-compose.yml": """
    services:
      worker:
        image: registry.example/shop-worker:1.2
        command: celery -A shop worker -Q celery,mail
        stop_grace_period: 31m
      heavy:
        image: registry.example/shop-heavy:1.2
        command: celery -A shop worker -Q ${HEAVY_QUEUES:-report,mail} -c 2
        stop_grace_period: 5m
    """,
    "k8s/scaler.yaml": """
    apiVersion: keda.sh/v1alpha1
    kind: ScaledObject
    metadata: {name: mail}
    spec:
      scaleTargetRef: {name: mail}
      triggers:
      - type: redis
        metadata: {address: "redis:6379", listName: mail, listLength: "4"}
    """,
}


def test_the_page_shows_what_the_command_says(audited: Audit, root: Path) -> None:
    page = (root / "docs/audit.md").read_text()
    assert f"$ python -m surfaces audit shop\n{table(audited(SHOP))}```" in page


def test_the_page_of_rules_has_every_rule(root: Path) -> None:
    page = (root / "docs/audit-rules.md").read_text()
    assert all(f"`{rule.id}`" in page for rule in RULES)
