"""What the workflows may do, read from the files GitHub reads, with GitHub's own linters run on them.

GitHub itself cannot be asked here. What is held instead: who may run what, with which rights, on which stacks.
"""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from toolchain.catalogue import DEFAULT_GROUPS, TOOLS

ROOT = Path(__file__).resolve().parents[3]
GITHUB = ROOT / ".github"
WORKFLOWS = {path.stem: path for path in sorted((GITHUB / "workflows").iterdir())}
ACTIONS = {path.parent.name: path for path in sorted((GITHUB / "actions").glob("*/action.yaml"))}

PINNED = re.compile(r"^[\w.-]+(/[\w.-]+)+@[0-9a-f]{40}$")
VERSIONED = re.compile(r"uses: (?P<uses>\S+@\S+) # v\d+\.\d+\.\d+$")
OF_THE_SAME_REPOSITORY = "github.event.pull_request.head.repo.full_name == github.repository"
ENABLED = "vars.FLEET_ON_AWS == 'true'"
IN_DEPLOY_ORDER = ("dev", "staging", "prod")
RIGHTS = {
    ("checks", "checks"): {"contents": "read"},
    ("preview", "preview"): {"contents": "read", "id-token": "write"},
    ("preview", "comment"): {"pull-requests": "write"},
    ("deploy", "checks"): {"contents": "read"},
    ("deploy", "dev"): {"contents": "read", "id-token": "write"},
    ("deploy", "staging"): {"contents": "read", "id-token": "write"},
    ("deploy", "prod"): {"contents": "read", "id-token": "write"},
    ("deploy-stack", "update"): {"contents": "read", "id-token": "write"},
    ("drift", "drift"): {"contents": "read", "id-token": "write"},
    ("drift", "issue"): {"issues": "write"},
}


@dataclass(frozen=True)
class Job:
    """A job of a workflow, read through accessors that refuse a name that is not there."""

    workflow: str
    name: str
    body: Mapping[str, Any]

    @property
    def steps(self) -> list[Mapping[str, Any]]:
        return list(self.body.get("steps", ()))

    @property
    def condition(self) -> str:
        return " ".join(str(self.body.get("if", "")).split())


@cache
def document(path: Path) -> Mapping[Any, Any]:
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(loaded, dict), f"{path} is not a mapping"
    return loaded


def triggers(workflow: str) -> Mapping[str, Any]:
    """YAML 1.1 reads the key `on` as true."""
    return {name: value or {} for name, value in document(WORKFLOWS[workflow])[True].items()}


def jobs(workflow: str) -> list[Job]:
    return [Job(workflow, name, body) for name, body in document(WORKFLOWS[workflow])["jobs"].items()]


def job(workflow: str, name: str) -> Job:
    return Job(workflow, name, document(WORKFLOWS[workflow])["jobs"][name])


def every_job() -> list[Job]:
    return [found for workflow in WORKFLOWS for found in jobs(workflow)]


def every_step() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for found in every_job():
        for step in found.steps:
            yield f"{found.workflow}/{found.name}", step
    for name, path in ACTIONS.items():
        for step in document(path)["runs"]["steps"]:
            yield name, step


def every_use() -> Iterator[tuple[str, str]]:
    for found in every_job():
        if "uses" in found.body:
            yield f"{found.workflow}/{found.name}", found.body["uses"]
    for place, step in every_step():
        if "uses" in step:
            yield place, step["uses"]


def stacks() -> set[str]:
    """The stacks that have a file, but for `local`, which lives on one machine."""
    return {path.name.split(".")[1] for path in ROOT.glob("Pulumi.*.yaml")} - {"local"}


def test_every_foreign_action_is_a_commit_and_says_its_version() -> None:
    foreign = {(place, uses) for place, uses in every_use() if not uses.startswith("./")}
    assert len(foreign) >= 15, "the sweep sees hardly any action: it looks in the wrong place"
    for place, uses in foreign:
        assert PINNED.match(uses), f"{place} takes {uses}: whoever owns its tag can change what runs here"
    texts = [path.read_text(encoding="utf-8") for path in (*WORKFLOWS.values(), *ACTIONS.values())]
    versioned = {found["uses"] for text in texts for found in re.finditer(VERSIONED.pattern, text, re.MULTILINE)}
    assert versioned == {uses for _, uses in foreign}, "a commit without its version in a comment says nothing"


def test_one_action_has_one_pin_everywhere() -> None:
    pins: dict[str, set[str]] = {}
    for _, uses in every_use():
        if "@" in uses:
            pins.setdefault(uses.split("@")[0], set()).add(uses)
    assert {name: found for name, found in pins.items() if len(found) > 1} == {}


def test_every_action_and_workflow_of_our_own_exists_and_is_used() -> None:
    own = {uses for _, uses in every_use() if uses.startswith("./")}
    actions = {f"./{path.parent.relative_to(ROOT)}" for path in ACTIONS.values()}
    called = {f"./{path.relative_to(ROOT)}" for name, path in WORKFLOWS.items() if "workflow_call" in triggers(name)}
    assert own == actions | called


def test_no_workflow_has_rights_beyond_what_its_jobs_declare() -> None:
    for name, path in WORKFLOWS.items():
        assert document(path)["permissions"] == {}, f"{name}: every job of it would have these rights"
    declared = {(found.workflow, found.name): found.body.get("permissions") for found in every_job()}
    assert declared == RIGHTS


def test_no_workflow_runs_foreign_code_with_our_rights() -> None:
    for name in WORKFLOWS:
        assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(triggers(name)), name


def test_a_fork_gets_the_checks_only() -> None:
    on_pull_requests = {name for name in WORKFLOWS if "pull_request" in triggers(name)}
    assert on_pull_requests == {"checks", "preview"}
    preview = job("preview", "preview")
    assert preview.condition.startswith(f"{OF_THE_SAME_REPOSITORY} && ")
    assert "||" not in preview.condition
    others = [found for found in jobs("preview") if found.name != "preview"]
    for found in others:
        assert found.body["needs"] == "preview", f"{found.name} would run without the preview"
        assert "needs.preview.result != 'skipped'" in found.condition, f"{found.name} would run for a fork"


def test_the_checks_know_no_secret_and_no_account() -> None:
    text = WORKFLOWS["checks"].read_text(encoding="utf-8")
    for word in ("secrets.", "vars.", "id-token", "login", "docker/", "github.token"):
        assert word not in text, f"checks.yaml, which runs for forks, holds {word}"


def test_no_workflow_needs_a_stored_secret() -> None:
    for path in (*WORKFLOWS.values(), *ACTIONS.values()):
        assert "secrets" not in path.read_text(encoding="utf-8"), f"{path.name}: identity tokens need no secret"


def test_a_preview_and_a_drift_check_read_with_the_role_that_reads() -> None:
    for workflow, name in (("preview", "preview"), ("drift", "drift")):
        found = job(workflow, name)
        assert found.body["environment"] == "preview-${{ matrix.stack }}"
        assert _stack_step(found)["with"]["role"] == "${{ vars.AWS_PREVIEW_ROLE_ARN }}"
        commands = " ".join(step.get("run", "") for step in found.steps)
        assert "pulumi up" not in commands
        assert not [step for step in found.steps if "docker/" in step.get("uses", "")], "a preview builds no image"


def test_nothing_reaches_the_cloud_before_a_repository_says_so() -> None:
    for workflow, name in (("preview", "preview"), ("deploy", "dev"), ("drift", "drift")):
        assert job(workflow, name).condition.endswith(ENABLED), f"{workflow} fails in every copy of this repository"
    assert "refs/heads/main" in job("drift", "drift").condition


def test_every_stack_that_has_a_file_is_previewed_deployed_and_watched() -> None:
    given = stacks()
    assert given == set(IN_DEPLOY_ORDER)
    for workflow in ("preview", "drift"):
        for found in jobs(workflow):
            assert set(found.body["strategy"]["matrix"]["stack"]) == given, f"{workflow}/{found.name}"
    deployed = [found.body["with"]["stack"] for found in jobs("deploy") if "with" in found.body]
    assert deployed == list(IN_DEPLOY_ORDER)


def test_a_merge_reaches_prod_through_the_checks_dev_and_staging() -> None:
    assert triggers("deploy") == {"push": {"branches": ["main"]}}
    assert job("deploy", "checks").body["uses"] == "./.github/workflows/checks.yaml"
    order = ("checks", *IN_DEPLOY_ORDER)
    for before, after in pairwise(order):
        found = job("deploy", after)
        assert found.body["needs"] == before
        assert "always()" not in found.condition
        assert "cancelled()" not in found.condition
    assert job("deploy-stack", "update").body["environment"] == "${{ inputs.stack }}", "nobody would be asked"


def test_one_stack_is_updated_once_at_a_time_and_never_cut_off() -> None:
    assert job("deploy-stack", "update").body["concurrency"] == {
        "group": "deploy-${{ inputs.stack }}",
        "cancel-in-progress": False,
    }


def test_images_are_built_by_the_stack_whose_file_says_so_and_by_no_other() -> None:
    for stack in IN_DEPLOY_ORDER:
        config = document(ROOT / f"Pulumi.{stack}.yaml")["config"]
        builds = config["fleet:images"]["source"] == "build"
        assert job("deploy", stack).body["with"]["builds"] == builds, f"{stack} has a builder, or lacks one"
    for step in job("deploy-stack", "update").steps:
        if step["name"] in {"Emulator for the other architecture", "Builder", "Registry"}:
            assert step["if"] == "inputs.builds", f"{step['name']} runs where nothing is built"


def test_a_preview_and_a_deployment_give_the_images_the_same_revision() -> None:
    (labelling,) = [step for _, step in every_step() if "set-revision" in step.get("run", "")]
    assert labelling["if"] == "inputs.builds == 'true'"
    (building,) = [stack for stack in IN_DEPLOY_ORDER if job("deploy", stack).body["with"]["builds"]]
    for workflow, name in (("preview", "preview"), ("drift", "drift"), ("deploy-stack", "update")):
        found = job(workflow, name)
        given = "inputs" if workflow == "deploy-stack" else "matrix"
        builds = "inputs.builds" if given == "inputs" else f"matrix.stack == '{building}'"
        with_ = _stack_step(found)["with"]
        assert (with_["stack"], with_["builds"]) == (f"${{{{ {given}.stack }}}}", f"${{{{ {builds} }}}}"), workflow
        (checkout,) = [step for step in found.steps if step.get("uses", "").startswith("actions/checkout@")]
        assert checkout["with"]["fetch-depth"] == 0, f"{workflow}: without history the revision cannot be told"


def test_no_expression_is_pasted_into_a_shell() -> None:
    for place, step in every_step():
        assert "${{" not in step.get("run", ""), f"{place}, {step['name']}: a title or a name there would be run"


def test_every_step_says_its_name_and_every_checkout_forgets_its_token() -> None:
    for place, step in every_step():
        assert step.get("name"), place
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False, f"{place} leaves a token on the disk"


def test_every_job_ends_some_day_and_every_shell_is_named() -> None:
    for found in every_job():
        if "uses" not in found.body:
            assert 0 < found.body["timeout-minutes"] <= 120, f"{found.workflow}/{found.name}"
            assert document(WORKFLOWS[found.workflow])["defaults"]["run"]["shell"] == "bash", found.workflow
    for name, path in ACTIONS.items():
        for step in document(path)["runs"]["steps"]:
            assert "uses" in step or step["shell"] == "bash", f"{name}, {step['name']}"


def test_the_workflows_use_the_engine_of_the_requirements() -> None:
    required = re.search(r"^pulumi==(\S+)", (ROOT / "requirements.in").read_text(encoding="utf-8"), re.MULTILINE)
    assert required
    given = [step["with"]["pulumi-version"] for _, step in every_step() if "pulumi/actions@" in step.get("uses", "")]
    assert given == [required[1]], "engine and SDK move together"


def test_requirements_are_installed_by_their_hashes() -> None:
    installs = [step["run"] for _, step in every_step() if "pip install" in step.get("run", "")]
    assert installs
    assert all("--require-hashes" in command for command in installs)


def test_the_checks_install_what_can_only_be_had_as_a_package() -> None:
    already_there = {"runc"}  # a part of the runner's container engine; Debian's own would replace that
    needed = {
        tool.debian.package
        for tool in TOOLS
        if tool.debian and tool.engine is None and tool.group in DEFAULT_GROUPS and tool.name not in already_there
    }
    commands = " ".join(step.get("run", "") for step in job("checks", "checks").steps)
    for package in needed:
        assert re.search(rf"\b{re.escape(package)}\b", commands), f"`make up` on the runner would ask for {package}"


def test_the_tool_cache_is_renewed_when_a_pin_changes() -> None:
    (cached,) = [step["with"] for step in job("checks", "checks").steps if "actions/cache@" in step.get("uses", "")]
    assert cached["path"] == "~/.cache/alphaswarm-fleet"
    assert "hashFiles('toolchain/modules/**/go.sum', 'requirements-dev.txt')" in cached["key"]
    users = [place for place, uses in every_use() if uses.startswith("actions/cache")]
    assert users == ["checks/checks"], "a job with credentials would read what a pull request may have written"


def test_zizmor_finds_nothing() -> None:
    linter = Path(sys.executable).with_name("zizmor")
    options = ("--offline", "--no-progress", "--persona=auditor")
    done = subprocess.run([linter, *options, GITHUB], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _stack_step(found: Job) -> Mapping[str, Any]:
    (step,) = [step for step in found.steps if step.get("uses") == "./.github/actions/stack"]
    return step
