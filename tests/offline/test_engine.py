"""The stand-ins under the real engine, with small programs."""

import json
import sys
from pathlib import Path

import boto3
import pytest

from offline.providers.values import Json
from tests.offline.conftest import REGION, Project

pytestmark = pytest.mark.engine

FLEET = """
import json, os
import pulumi, pulumi_aws as aws
url = os.environ["AWS_URL"]
provider = aws.Provider("aws", region="eu-west-1", access_key="test", secret_key="word-of-the-account",
    skip_credentials_validation=True, skip_requesting_account_id=True, endpoints=[{"ecr": url, "iam": url}])
opts = pulumi.ResourceOptions(provider=provider)
repo = aws.ecr.Repository("worker", name="engine-worker", image_tag_mutability="IMMUTABLE",
    image_scanning_configuration={"scan_on_push": True}, force_delete=True,
    tags={"secret": pulumi.Output.secret("word-of-a-tag")}, opts=opts)
rules = [{"rulePriority": 1, "action": {"type": "expire"}, "selection": {
    "tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": int(os.environ.get("KEEP", "5"))}}]
aws.ecr.LifecyclePolicy("worker", repository=repo.name, policy=json.dumps({"rules": rules}), opts=opts)
pulumi.export("url", repo.repository_url)
"""

SECRETS = """
import os
import pulumi, pulumi_kubernetes as k8s
namespace = k8s.core.v1.Namespace("ns", metadata={"name": "engine"})
after = pulumi.ResourceOptions(depends_on=[namespace])
meta = {"name": "s", "namespace": "engine"}
k8s.core.v1.Secret("s", metadata=meta, string_data={"a": "word-in-a-secret"}, opts=after)
k8s.core.v1.ConfigMap("c", metadata={"namespace": "engine"}, data={"a": os.environ.get("A", "1")}, opts=after)
labels = {"app": "w"}
meta = {"name": "w", "namespace": "engine", "annotations": {"pulumi.com/skipAwait": "true"}}
k8s.apps.v1.Deployment("w", metadata=meta,
    spec={"selector": {"match_labels": labels}, "template": {"metadata": {"labels": labels}, "spec": {"containers": [{
        "name": "c", "image": os.environ.get("IMAGE", "x:1"), "env": [{"name": "E", "value": ""}],
        "resources": {"requests": {"cpu": "1000m", "memory": "1024Mi"}}}]}}}, opts=after)
"""


def test_a_program_imports_its_own_modules_before_any_other_of_that_name(project: Project) -> None:
    project.write(
        "import queues, settings, components, sys, os\nimport pulumi\n"
        "pulumi.export('said', [queues.A, settings.A, components.A])\npulumi.export('cwd', os.getcwd())\n"
        "print('a printed line')\nprint('an error line', file=sys.stderr)\n",
        queues="A = 'queues'",
        settings="A = 'settings'",
        components="A = 'components'",
    )
    said = project.ok("up", "--yes")
    assert "a printed line" in said
    assert "an error line" in said
    outputs = json.loads(project.ok("stack", "output", "--json"))
    assert outputs == {"said": ["queues", "settings", "components"], "cwd": str(project.folder)}


@pytest.mark.parametrize("where", ["settings", "__main__", "apply"])
def test_a_run_error_shows_as_its_message_alone_and_fails_the_command(project: Project, where: str) -> None:
    raising = "import pulumi\nraise pulumi.RunError('fleet:min is 3, which is more than fleet:max')\n"
    late = (
        "import pulumi\ndef f(_):\n    raise pulumi.RunError('fleet:min is 3, which is more than fleet:max')\n"
        "pulumi.Output.from_input(1).apply(f)\n"
    )
    main = {"settings": "import settings", "__main__": raising, "apply": late}[where]
    project.write(main, settings=raising)
    done = project.pulumi("preview")
    assert done.returncode != 0
    shown = done.stdout[done.stdout.index("Diagnostics:") :]
    assert shown.count("fleet:min is 3, which is more than fleet:max") == 1
    assert "Traceback" not in done.stdout + done.stderr


def test_any_other_error_shows_once_with_the_programs_own_frames(project: Project) -> None:
    project.write("import settings\nsettings.f()\n", settings="def f():\n    return {}['replicas']\n")
    done = project.pulumi("preview")
    assert done.returncode != 0
    shown = done.stdout[done.stdout.index("Diagnostics:") :]
    assert shown.count("KeyError: 'replicas'") == 1
    assert 'File "__main__.py", line 2' in shown
    assert 'File "settings.py", line 2' in shown
    assert "language_host" not in shown[shown.index("Traceback") :], "it begins in the host that runs the program"


def test_the_virtual_environment_that_the_project_names_runs_the_program(project: Project) -> None:
    (project.folder / "Pulumi.yaml").write_text(
        f"name: thing\nruntime:\n  name: python\n  options:\n    virtualenv: {sys.prefix}\n"
    )
    project.write("import sys, pulumi\npulumi.export('prefix', sys.prefix)\n")
    assert sys.prefix in project.ok("preview")
    (project.folder / "Pulumi.yaml").write_text(
        "name: thing\nruntime:\n  name: python\n  options:\n    virtualenv: nowhere\n"
    )
    done = project.pulumi("preview")
    assert done.returncode != 0
    assert "there is none. Run `pulumi install` to make it." in done.stdout + done.stderr


def test_aws_is_previewed_without_an_endpoint_and_comes_back_after_drift(project: Project, moto: str) -> None:
    project.write(FLEET)
    alone = project.ok("preview", AWS_URL="http://127.0.0.1:1")
    assert "stand-in AWS plugin: speaks to http://127.0.0.1:1" in alone
    assert "+ 4 to create" in alone
    project.ok("up", "--yes", "--skip-preview", AWS_URL=moto)
    assert "word-of" not in project.state, "a secret lies bare in the state"
    assert "4 unchanged" in project.ok("up", "--yes", AWS_URL=moto)
    changed = project.ok("preview", "--diff", AWS_URL=moto, KEEP="6")
    assert "countNumber: 5 => 6" in changed
    assert "~ 1 to update" in changed

    ecr = boto3.client(
        "ecr", endpoint_url=moto, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
    )
    ecr.put_image_tag_mutability(repositoryName="engine-worker", imageTagMutability="MUTABLE")
    ecr.delete_lifecycle_policy(repositoryName="engine-worker")
    drift = project.ok("refresh", "--preview-only", "--diff", AWS_URL=moto)
    assert '"IMMUTABLE" => "MUTABLE"' in drift
    assert "- 1 to delete" in drift
    project.ok("up", "--yes", "--refresh", "--skip-preview", AWS_URL=moto)
    found = ecr.describe_repositories(repositoryNames=["engine-worker"])["repositories"][0]
    assert found["imageTagMutability"] == "IMMUTABLE"
    project.ok("destroy", "--yes", "--skip-preview", AWS_URL=moto)
    assert not [r for r in ecr.describe_repositories()["repositories"] if r["repositoryName"] == "engine-worker"]


def test_kubernetes_is_previewed_without_a_cluster_with_one_warning(project: Project) -> None:
    project.write(SECRETS)
    shown = project.ok("preview")
    diagnostics = shown[shown.index("Diagnostics:") :]
    assert diagnostics.count("no cluster reachable: the preview is of inputs only") == 1
    assert "+ 5 to create" in shown


@pytest.mark.cluster
def test_a_real_cluster_is_brought_up_unchanged_changed_refreshed_and_destroyed(
    project: Project, api_server: Path
) -> None:
    cluster = {"KUBECONFIG": str(api_server)}
    project.write(SECRETS)
    assert "+ 5 to create" in project.ok("preview", **cluster)
    project.ok("up", "--yes", "--skip-preview", **cluster)
    assert "word-in-a-secret" not in project.state
    assert "d29yZC1pbi1hLXNlY3JldA" not in project.state, "the server's encoding of a secret lies bare in the state"
    assert "5 unchanged" in project.ok("up", "--yes", "--refresh", "--skip-preview", **cluster), (
        "spelling shows as drift"
    )

    changed = project.ok("up", "--yes", "--skip-preview", IMAGE="x:2", A="2", **cluster)
    assert "~ 1 updated" in changed
    assert "+-1 replaced" in changed

    kubectl = Api(api_server)
    kubectl.scale("engine", "w", 7)
    assert "5 unchanged" in project.ok("refresh", "--yes", "--skip-preview", **cluster), (
        "an autoscaler's replicas drift"
    )
    kubectl.set_image("engine", "w", "evil:1")
    drifted = project.ok(
        "preview", "--refresh", "--diff", IMAGE="x:2", A="2", PULUMI_K8S_ENABLE_PATCH_FORCE="true", **cluster
    )
    assert '"evil:1" => "x:2"' in drifted
    refused = project.pulumi("up", "--yes", "--refresh", "--skip-preview", IMAGE="x:2", A="2", **cluster)
    assert "pulumi.com/patchForce" in refused.stdout, "somebody else's change is overwritten without being asked"
    forced = {"IMAGE": "x:2", "A": "2", "PULUMI_K8S_ENABLE_PATCH_FORCE": "true", **cluster}
    project.ok("up", "--yes", "--refresh", "--skip-preview", **forced)
    assert kubectl.image("engine", "w") == "x:2"

    project.ok("destroy", "--yes", "--skip-preview", **cluster)
    assert kubectl.image("engine", "w") is None


class Api:
    """Somebody else's hand on the cluster."""

    def __init__(self, kubeconfig: Path) -> None:
        from offline.providers.kube_config import load

        access = load(str(kubeconfig))
        assert access is not None
        self._access = access

    def _patch(self, namespace: str, name: str, patch: Json) -> Json:
        import requests

        answer = requests.request(
            "PATCH" if patch else "GET",
            f"{self._access.server}/apis/apps/v1/namespaces/{namespace}/deployments/{name}",
            params={"fieldManager": "somebody"} if patch else None,
            data=json.dumps(patch) if patch else None,
            headers={"Content-Type": "application/strategic-merge-patch+json"} if patch else None,
            cert=self._access.certificate,
            verify=self._access.authority,
            timeout=10,
        )
        return answer.json()

    def scale(self, namespace: str, name: str, replicas: int) -> None:
        self._patch(namespace, name, {"spec": {"replicas": replicas}})

    def set_image(self, namespace: str, name: str, image: str) -> None:
        containers = [{"name": "c", "image": image}]
        self._patch(namespace, name, {"spec": {"template": {"spec": {"containers": containers}}}})

    def image(self, namespace: str, name: str) -> str | None:
        found = self._patch(namespace, name, None)
        return found["spec"]["template"]["spec"]["containers"][0]["image"] if "spec" in found else None
