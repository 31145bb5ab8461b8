"""What `fleet:pods` and `fleet:volumes` may not say: each refused by its key, with the reason and the way out."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from config.errors import SettingsError
from config.loading import parse
from tests.config.messages import told
from tests.own_rows import OWN_ROWS, catalogue
from tests.pod_options import pod_options
from tests.program.harness import built_images, configuration, written_objects


@pytest.fixture(scope="module", autouse=True)
def _own_rows() -> Iterator[None]:
    with catalogue(OWN_ROWS):
        yield


def refusal(**sections: Any) -> dict[str, str]:  # noqa: ANN401 any configuration
    """The refused keys of stack `dev` with these sections, with what is said of each."""
    try:
        parse(configuration("dev", **{"scaling": {}, **sections}))
    except SettingsError as error:
        return told(str(error))
    return {}


SMALL = {"resources": {side: {"cpu": "10m", "memory": "16Mi"} for side in ("requests", "limits")}}


def in_memory(size: str) -> dict[str, Any]:
    return {"name": f"room-{size.lower().replace('.', '-')}", "emptyDir": {"medium": "Memory", "sizeLimit": size}}


PROXY = {"name": "proxy", "image": "proxy:1", **SMALL}


@pytest.mark.parametrize(
    ("options", "key", "said"),
    [
        ({"env": {"ALPHASWARM_QUEUES": "heavy"}}, "env.ALPHASWARM_QUEUES", "the fleet's own"),
        ({"env": {"CELERY_APP": "other"}}, "env.CELERY_APP", "the fleet's own"),
        ({"envValueFrom": {"REDIS_BROKER": {"secret": "a", "key": "b"}}}, "envValueFrom.REDIS_BROKER", "fleet's own"),
        ({"env": {"DATABASE_PASSWORD": "hunter2"}}, "env.DATABASE_PASSWORD", "envValueFrom"),
        ({"env": {"DATABASE_URL": "postgres://me:hunter2@db/1"}}, "env.DATABASE_URL", "envValueFrom"),
        ({"env": {"KEY": "AKIAIOSFODNN7EXAMPLE"}}, "env.KEY", "envValueFrom"),
        ({"env": {"1BAD": "x"}}, "env.1BAD", "text that matches"),
        ({"env": {"PATH": "/opt/bin:$(PATH)"}}, "env.PATH", "the images' own"),
        ({"envValueFrom": {"PYTHONHOME": {"secret": "a", "key": "b"}}}, "envValueFrom.PYTHONHOME", "the images' own"),
        ({"env": {"DSN": "host=db password=hunter2 dbname=a"}}, "env.DSN", "envValueFrom"),
        (
            {"annotations": {"container.apparmor.security.beta.kubernetes.io/worker": "unconfined"}},
            'annotations["container.apparmor.security.beta.kubernetes.io/worker"]', "restricted profile",
        ),
        ({"annotations": {"dsn": "postgres://me:hunter2@db/1"}}, "annotations.dsn", "looks like a secret"),
        (
            {"volumes": [{"name": "s", "csi": {"driver": "smb", "volumeAttributes": {"o": "password=hunter2"}}}]},
            "volumes[0].csi.volumeAttributes.o", "looks like a secret",
        ),
        (
            {"volumes": [{"name": "s", "emptyDir": {"medium": "memory", "sizeLimit": "1Gi"}}]},
            "volumes[0].emptyDir.medium", "Memory",
        ),
        ({"hostAliases": [{"ip": "fe80::1%eth0", "hostnames": ["a"]}]}, "hostAliases[0].ip", "an address such as"),
        ({"resources": {"limits": {"cpu": "0.0"}}}, "resources.limits.cpu", "text that matches"),
        ({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "a", "operator": ["In"], "values": ["b"]}]}]}}}},
            "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]"
            ".matchExpressions[0].operator", "text, in quotes"),
        ({"env": {"WITH SPACE": "x"}}, 'env["WITH SPACE"]', "text that matches"),
        ({"env": {"PORT": 5432}}, "env.PORT", "text, in quotes"),
        (
            {"env": {"A": "x"}, "envValueFrom": {"A": {"secret": "a", "key": "b"}}},
            "env.A", "a variable has one source",
        ),
        ({"envValueFrom": {"A": {"key": "b"}}}, "envValueFrom.A", "one is needed"),
        ({"envFrom": [{"secret": "a", "configMap": "b"}]}, "envFrom[0]", "not both"),
        ({"labels": {"team": "two words"}}, "labels.team", "text that matches"),
        ({"annotations": {"two words": "x"}}, 'annotations["two words"]', "text that matches"),
        ({"nodeSelector": {"a/b/c": "x"}}, "nodeSelector.a/b/c", "text that matches"),
        ({"hostAliases": [{"ip": "10.0.0", "hostnames": ["a"]}]}, "hostAliases[0].ip", "an address such as"),
        ({"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["A_B"]}]}, "hostAliases[0].hostnames[0]", "text that"),
        ({"volumes": [{"name": "Big_One", "secret": {"secretName": "a"}}]}, "volumes[0].name", "lower case letters"),
        ({"labels": {"cost_center": "x"}}, "labels.cost_center", "fleet:labels"),
        ({"labels": {"alphaswarm.io/queue": "x"}}, 'labels["alphaswarm.io/queue"]', "the fleet's own"),
        (
            {"annotations": {"karpenter.sh/do-not-disrupt": "true"}},
            'annotations["karpenter.sh/do-not-disrupt"]', "evictable",
        ),
        (
            {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "1"}},
            'annotations["controller.kubernetes.io/pod-deletion-cost"]', "markBusyPods",
        ),
        ({"volumes": [{"name": "docker", "hostPath": {"path": "/run"}}]}, "volumes[0]", "restricted profile"),
        ({"volumes": [{"name": "nothing"}]}, "volumes[0]", "given nothing"),
        ({"volumes": [{"name": "tmp", "secret": {"secretName": "a"}}]}, "volumes[0].name", "the fleet's own"),
        ({"volumes": [{"secret": {"secretName": "a"}}]}, "volumes[0].name", "missing"),
        ({"volumes": [{"name": "scratch", "emptyDir": {}}]}, "volumes[0].emptyDir.sizeLimit", "node's disk"),
        ({"volumeMounts": [{"name": "no", "mountPath": "/x"}]}, "volumeMounts[0].name", "the volumes here are"),
        ({"volumeMounts": [{"name": "tmp", "mountPath": "x"}]}, "volumeMounts[0].mountPath", "absolute"),
        ({"volumeMounts": [{"name": "tmp", "mountPath": "/app/data/"}]}, "volumeMounts[0].mountPath", "fleet:volumes"),
        (
            {"volumeMounts": [{"name": "tmp", "mountPath": "/x", "readonly": True}]},
            "volumeMounts[0].readonly", "did you mean readOnly?",
        ),
        ({"sidecars": [{**PROXY, "imagePulPolicy": "Always"}]}, "sidecars[0].imagePulPolicy", "imagePullPolicy?"),
        ({"sidecars": [{"name": "proxy", **SMALL}]}, "sidecars[0].image", "missing"),
        ({"sidecars": [{**PROXY, "name": "worker"}]}, "sidecars[0].name", "the fleet's own"),
        ({"sidecars": [{**PROXY, "restartPolicy": "Never"}]}, "sidecars[0].restartPolicy", "remove this key"),
        (
            {"initContainers": [{**PROXY, "resources": {**SMALL["resources"], "limits": {"cpu": "1"}}}]},
            "initContainers[0].resources.limits.memory", "quota",
        ),
        (
            {"sidecars": [{**PROXY, "securityContext": {"privileged": True}}]},
            "sidecars[0].securityContext.privileged", "restricted profile",
        ),
        (
            {"sidecars": [{**PROXY, "securityContext": {"runAsUser": 0}}]},
            "sidecars[0].securityContext.runAsUser", "restricted profile",
        ),
        (
            {"sidecars": [{**PROXY, "securityContext": {"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}}]},
            "sidecars[0].securityContext.capabilities", "NET_BIND_SERVICE",
        ),
        (
            {"sidecars": [{**PROXY, "ports": [{"containerPort": 1, "hostPort": 1}]}]},
            "sidecars[0].ports[0].hostPort", "restricted profile",
        ),
        (
            {"sidecars": [{**PROXY, "env": [{"name": "API_TOKEN", "value": "hunter2"}]}]},
            "sidecars[0].env[0].value", "valueFrom",
        ),
        (
            {"volumes": [{"name": "ca", "secret": {"secretName": "a"}}, {"name": "ca", "secret": {"secretName": "a"}}]},
            "volumes[1]", "stands here twice: ca",
        ),
        ({"imagePullSecrets": ["a", "b", "a"]}, "imagePullSecrets[2]", "stands here twice: a"),
        (
            {"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}, {"ip": "10.0.0.1", "hostnames": ["b"]}]},
            "hostAliases[1]", "stands here twice: 10.0.0.1",
        ),
        ({"env": {"PGPASSWORD": "hunter2"}}, "env.PGPASSWORD", "envValueFrom"),
        ({"env": {"MYSQL_PWD": "hunter2"}}, "env.MYSQL_PWD", "envValueFrom"),
        ({"env": {"DB_PASS": "hunter2"}}, "env.DB_PASS", "envValueFrom"),
        ({"env": {"HF_TOKEN": "hunter2hunter2"}}, "env.HF_TOKEN", "envValueFrom"),
        ({"env": {"MODEL": "sk-hunter2hunter2hunter2"}}, "env.MODEL", "envValueFrom"),
        ({"env": {"PEM": "-----BEGIN RSA PRIVATE KEY-----"}}, "env.PEM", "envValueFrom"),
        ({"env": {"ALPHASWARM_LOG_LEVEL": "LOUD"}}, "env.ALPHASWARM_LOG_LEVEL", "DEBUG, INFO"),
        ({"env": {"ALPHASWARM_MAX_DELIVERIES": "many"}}, "env.ALPHASWARM_MAX_DELIVERIES", "whole number"),
        ({"envValueFrom": {"A": {"field": "status.phase"}}}, "envValueFrom.A.field", "text that matches"),
        ({"envValueFrom": {"A": {"secret": "a"}}}, "envValueFrom.A.key", "missing"),
        ({"envValueFrom": {"A": {"field": "metadata.uid", "key": "b"}}}, "envValueFrom.A.key", "no use"),
        ({"imagePullSecrets": ["a..b"]}, "imagePullSecrets[0]", "text that matches"),
        (
            {"volumes": [{"name": "a", "secret": {"secretName": "b", "name": "b"}}]},
            "volumes[0].secret.name", "no such field",
        ),
        (
            {"volumes": [{"name": "a", "emptyDir": {"sizeLimit": "lots"}}]},
            "volumes[0].emptyDir.sizeLimit", "given 'lots'",
        ),
        ({"volumeMounts": [{"name": "tmp", "mountPath": "//app/data"}]}, "volumeMounts[0].mountPath", "fleet:volumes"),
        (
            {"volumeMounts": [{"name": "tmp", "mountPath": "/app/./x/../data"}]},
            "volumeMounts[0].mountPath", "'/app/data'",
        ),
        ({"volumeMounts": [{"name": "tmp", "mountPath": "/venv"}]}, "volumeMounts[0].mountPath", "the image needs"),
        (
            {"volumeMounts": [{"name": "tmp", "mountPath": "/etc/alphaswarm/broker"}]},
            "volumeMounts[0].mountPath", "the fleet's own",
        ),
        (
            {"volumeMounts": [{"name": "tmp", "mountPath": "/x", "subPath": "a/../.."}]},
            "volumeMounts[0].subPath", "inside",
        ),
        (
            {"sidecars": [{**PROXY, "volumeMounts": [{"name": "none", "mountPath": "/x"}]}]},
            "sidecars[0].volumeMounts[0].name", "the volumes here are",
        ),
        (
            {"sidecars": [{**PROXY, "securityContext": {"readOnlyRootFileSystem": True}}]},
            "sidecars[0].securityContext.readOnlyRootFileSystem", "readOnlyRootFilesystem?",
        ),
        (
            {"sidecars": [{**PROXY, "securityContext": ["privileged"]}]}, "sidecars[0].securityContext", "a mapping",
        ),
        (
            {"sidecars": [{**PROXY, "securityContext": {"appArmorProfile": {"type": "Unconfined"}}}]},
            "sidecars[0].securityContext.appArmorProfile", "restricted profile",
        ),
        (
            {"sidecars": [{**PROXY, "securityContext": {"seLinuxOptions": {"type": "spc_t"}}}]},
            "sidecars[0].securityContext.seLinuxOptions", "restricted profile",
        ),
        (
            {"sidecars": [{**PROXY, "securityContext": {"seccompProfile": {"type": "Localhost"}}}]},
            "sidecars[0].securityContext.seccompProfile", "restricted profile",
        ),
        (
            {"sidecars": [{**PROXY, "securityContext": {"windowsOptions": {"hostProcess": True}}}]},
            "sidecars[0].securityContext.windowsOptions", "restricted profile",
        ),
        (
            {"sidecars": [{**PROXY, "livenessProbe": {"httpGet": {"host": "127.0.0.1", "port": 1}}}]},
            "sidecars[0].livenessProbe.httpGet.host", "restricted profile",
        ),
        (
            {"sidecars": [{**PROXY, "lifecycle": {"preStop": {"httpGet": {"host": "127.0.0.1", "port": 1}}}}]},
            "sidecars[0].lifecycle.preStop.httpGet.host", "restricted profile",
        ),
        (
            {"initContainers": [{**PROXY, "livenessProbe": {"exec": {"command": ["true"]}}}]},
            "initContainers[0].livenessProbe", "say it of a sidecar",
        ),
        (
            {"sidecars": [{**PROXY, "livenessProbe": {"exec": {"command": ["ping", "redis://me:hunter2@db"]}}}]},
            "sidecars[0].livenessProbe.exec.command[1]", "read it from there",
        ),
        (
            {"sidecars": [{**PROXY, "lifecycle": {"preStop": {"exec": {"command": ["http://me:hunter2@db"]}}}}]},
            "sidecars[0].lifecycle.preStop.exec.command[0]", "read it from there",
        ),
        (
            {"sidecars": [{**PROXY, "args": ["--db", "postgres://me:hunter2@db/1"]}]},
            "sidecars[0].args[1]", "$(NAME)",
        ),
        (
            {"sidecars": [{**PROXY, "resources": {
                "requests": {"cpu": 0.02, "memory": "1Mi"}, "limits": {"cpu": "15m", "memory": "1Mi"}}}]},
            "sidecars[0].resources.requests.cpu", "the limit is '15m'",
        ),
        (
            {"sidecars": [{**PROXY, "resources": {**SMALL["resources"], "limits": {"cpu": "much", "memory": "1Gi"}}}]},
            "sidecars[0].resources.limits.cpu", "a quantity",
        ),
        ({"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}, "tolerations[0].value", "Exists"),
        ({"tolerations": [{"value": "b"}]}, "tolerations[0].key", "missing"),
        ({"tolerations": [{"key": "a", "tolerationSeconds": 3}]}, "tolerations[0].tolerationSeconds", "NoExecute"),
        (
            {"affinity": {"podAffinity": {"required": []}}}, "affinity.podAffinity.required", "no such field",
        ),
        ({"sidecars": [{**PROXY, "env": [{"name": "A", "value": 5}]}]}, "sidecars[0].env[0].value", "in quotes"),
        ({"sidecars": [{**PROXY, "args": ["a", 1]}]}, "sidecars[0].args[1]", "in quotes"),
        ({"sidecars": [{**PROXY, "tty": "yes"}]}, "sidecars[0].tty", "true or false"),
        (
            {"sidecars": [{**PROXY, "ports": [{"containerPort": "80"}]}]},
            "sidecars[0].ports[0].containerPort", "a whole number",
        ),
        (
            {"sidecars": [{**PROXY, "securityContext": {"runAsUser": "0"}}]},
            "sidecars[0].securityContext.runAsUser", "a whole number",
        ),
        (
            {"volumes": [{"name": "a", "csi": {"driver": "d", "volumeAttributes": {"a": 5}}}]},
            "volumes[0].csi.volumeAttributes.a", "in quotes",
        ),
        ({"env": {"SECRET_KEY_BASE": "hunter2"}}, "env.SECRET_KEY_BASE", "envValueFrom"),
        ({"env": {"STRIPE": f"sk_live_{'hunter2' * 3}"}}, "env.STRIPE", "envValueFrom"),
        (
            {"volumeMounts": [{"name": "tmp", "mountPath": "/app/source/x"}]},
            "volumeMounts[0].mountPath", "the image needs",
        ),
        ({"volumeMounts": [{"name": "tmp", "mountPath": "/proc/self"}]}, "volumeMounts[0].mountPath", "fleet's own"),
        ({"pool": "gevent"}, "pool", "there is no other pool"),
        ({"runtimeClassName": "gvisor"}, "runtimeClassName", "is named runtimeClass"),
        ({"hostNetwork": True}, "hostNetwork", "restricted profile"),
        ({"threads": 0}, "threads", "at least 1"),
        ({"sharedMemory": "2 GB"}, "sharedMemory", "text that matches"),
        ({"affinity": {"nodeAfinity": {}}}, "affinity.nodeAfinity", "did you mean nodeAffinity?"),
        (
            {"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone"}]},
            "topologySpreadConstraints[0].whenUnsatisfiable", "missing",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("scope", ["all", "executor", "queues.heavy"])
def test_an_option_that_cannot_be_is_refused_wherever_it_stands(
    scope: str, options: dict[str, Any], key: str, said: str
) -> None:
    pods = {"queues": {"heavy": options}} if "." in scope else {scope: options}
    found = refusal(pods=pods)
    assert set(found) == {f"fleet:pods.{scope}.{key}"}
    assert said in found[f"fleet:pods.{scope}.{key}"]
    assert "hunter2" not in str(found), "the message repeats the secret"


@pytest.mark.parametrize(
    "options",
    [
        {"env": [{"name": "DB_PASSWORD", "value": "hunter2"}]},
        {"env": {"DB_PASSWORD": 123456789}},
        {"env": {"DB": {"password": "hunter2"}}},
        {"envValueFrom": {"DB_PASSWORD": "hunter2"}},
        {"sidecars": [{**PROXY, "env": {"DB_PASSWORD": "hunter2"}}]},
        {"sidecars": [{**PROXY, "env": [{"name": "DB_PASSWORD", "value": 123456789}]}]},
        {"sidecars": [{**PROXY, "securityContext": {"seLinuxOptions": {"type": []}}, "args": ["--password=hunter2"]}]},
        {
            "volumes": [{"name": "a\nb", "secret": {"secretName": "s"}}],
            "env": {"X": "u:hunter2@h"},
            "threads": "me:hunter2@h",
        },
    ],
)
def test_no_message_repeats_a_secret_or_breaks_its_line(options: dict[str, Any]) -> None:
    try:
        parse(configuration("dev", scaling={}, pods={"worker": options}))
    except SettingsError as error:
        text = str(error)
    assert "hunter2" not in text
    assert "123456789" not in text
    assert all(line.startswith("  fleet:") for line in text.splitlines()[1:])


@pytest.mark.parametrize(
    ("pods", "wrong"),
    [
        (
            {
                "executor": {
                    "resources": {"limits": {"memory": "64GB"}},
                    "sharedMemory": "20Gi",
                    "maxMemoryPerChild": "30Gi",
                }
            },
            "pods.executor.resources.limits.memory",
        ),
        (
            {
                "all": {"resources": {"limits": {"memory": "1GB"}}},
                "beat": {"resources": {"requests": {"memory": "768Mi"}}},
            },
            "pods.all.resources.limits.memory",
        ),
        (
            {
                "worker": {
                    "volumes": [{"secret": {"secretName": "a"}}],
                    "volumeMounts": [{"name": "a", "mountPath": "/a"}],
                }
            },
            "pods.worker.volumes[0].name",
        ),
    ],
)
def test_what_cannot_be_read_makes_up_no_other_error(pods: dict[str, Any], wrong: str) -> None:
    assert set(refusal(pods=pods)) == {f"fleet:{wrong}"}


def test_a_broker_or_a_gpu_that_cannot_be_read_makes_up_no_other_error() -> None:
    sidecar = {**PROXY, "volumeMounts": [{"name": "broker-ca", "mountPath": "/ca"}]}
    broker = {"kind": "external", "host": "redis.example.com", "port": "6379", "existingSecret": "a"}
    assert set(refusal(pods={"all": {"sidecars": [sidecar]}}, broker=broker)) == {"fleet:broker.port"}
    gpu = {"count": 8, "resource": "gpu"}
    assert set(refusal(gpu=gpu, scaling={"gpu": {"minReplicas": 2}})) == {"fleet:gpu.resource"}


def test_a_directory_of_the_other_image_may_be_mounted() -> None:
    """The catalogue's worker has no /app/models: the way to read there what the executor trained."""
    options = {
        "volumes": [{"name": "trained", "persistentVolumeClaim": {"claimName": "m", "readOnly": True}}],
        "volumeMounts": [{"name": "trained", "mountPath": "/app/models", "readOnly": True}],
    }
    assert refusal(pods={"worker": options}) == {}
    assert set(refusal(pods={"executor": options})) == {"fleet:pods.executor.volumeMounts[0].mountPath"}
    assert set(refusal(pods={"all": options})) == {"fleet:pods.all.volumeMounts[0].mountPath"}


@pytest.mark.parametrize(
    ("pods", "key", "said"),
    [
        (
            {"beat": {"volumes": [in_memory("2Gi")]}},
            "pods.beat.volumes", "which is 512Mi for beat",
        ),
        ({"queues": {"heavvy": {}}}, "pods.queues.heavvy", "did you mean heavy?"),
        (
            {"executor": {"resources": {"limits": {"cpu": "500m"}}}},
            "pods.executor.resources.requests.cpu", "given '1'; the limit is '500m'",
        ),
        (
            {"executor": {"resources": {"requests": {"memory": "2Gi"}}}, "queues": {
                "heavy": {"resources": {"limits": {"memory": "1Gi"}}}}},
            "pods.queues.heavy.resources.requests.memory", "the limit is '1Gi'",
        ),
        ({"beat": {"resources": {"limits": {"cpu": "50m"}}}}, "pods.beat.resources.requests.cpu", "the limit is '50m'"),
        (
            {"all": {"resources": {"requests": {"cpu": "1"}}}},
            "pods.all.resources.requests.cpu", "given '1'; the limit is '500m' for beat",
        ),
        ({"queues": {"heavy": {"sharedMemory": "16Gi"}}}, "pods.queues.heavy.sharedMemory", "less than that"),
        (
            {"executor": {"resources": {"limits": {"memory": "64Gi"}}}}, "quota.headroom", "the limits of memory",
        ),
        (
            {"all": {"sidecars": [PROXY]}, "worker": {"initContainers": [PROXY]}},
            "pods.worker.initContainers[0].name", "a sidecar has this name",
        ),
        (
            {"all": {"initContainers": [PROXY]}, "worker": {"sidecars": [PROXY]}},
            "pods.worker.sidecars[0].name", "an init container has this name",
        ),
        (
            {"worker": {"volumeMounts": [{"name": "models", "mountPath": "/x"}]}},
            "pods.worker.volumeMounts[0].name", "given 'models'; the volumes here are",
        ),
        (
            {"all": {"volumeMounts": [{"name": "shm", "mountPath": "/x"}]}},
            "pods.all.volumeMounts[0].name", "given 'shm'; the volumes here are",
        ),
        ({"beat": {"threads": 2}}, "pods.beat.threads", "beat runs no tasks"),
        ({"beat": {"evictable": True}}, "pods.beat.evictable", "beat runs no tasks"),
        (
            {"executor": {"sharedMemory": "6Gi"}, "queues": {
                "heavy": {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "4Gi"}}}}},
            "pods.queues.heavy.resources.limits.memory", "sharedMemory is 6Gi",
        ),
        (
            {"executor": {"maxMemoryPerChild": "16Gi"}},
            "pods.executor.maxMemoryPerChild", "given 16Gi; no process is replaced at that size",
        ),
        (
            {"executor": {"maxMemoryPerChild": "5Gi"}, "queues": {
                "heavy": {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "4Gi"}}}}},
            "pods.queues.heavy.resources.limits.memory", "maxMemoryPerChild is 5Gi",
        ),
        (
            {"all": {"volumes": [in_memory("500Mi")]}, "executor": {"volumes": [in_memory("17.5G")]}},
            "pods.executor.volumes", "given 17190Mi; what lies in memory",
        ),
        (
            {"executor": {"sharedMemory": "6Gi", "volumes": [in_memory("10Gi")]}},
            "pods.executor.volumes", "given 16Gi; what lies in memory there and in /dev/shm",
        ),
        (
            {"executor": {"resources": {
                "requests": {"ephemeralStorage": "9Gi"}, "limits": {"ephemeralStorage": "8Gi"}}}},
            "pods.executor.resources.requests.ephemeralStorage", "the limit is '8Gi'",
        ),
        (
            {"executor": {"initContainers": [{**PROXY, "resources": {
                side: {"cpu": "64", "memory": "1Gi"} for side in ("requests", "limits")}}]}},
            "quota.headroom", "of cpu in fleet:pods",
        ),
        (
            {"beat": {"resources": {side: {"memory": "900Gi"} for side in ("requests", "limits")}}},
            "quota.headroom", "of memory in fleet:pods",
        ),
        (
            {"executor": {"sidecars": [{**PROXY, "resources": {
                side: {"cpu": "8", "memory": "1Gi"} for side in ("requests", "limits")}}]}},
            "quota.headroom", "of cpu in fleet:pods",
        ),
    ],
)  # fmt: skip
def test_options_that_do_not_fit_together_are_refused(pods: dict[str, Any], key: str, said: str) -> None:
    found = refusal(pods=pods)
    assert set(found) == {f"fleet:{key}"}
    assert said in found[f"fleet:{key}"]


@pytest.mark.parametrize(
    "options",
    [
        {"env": {"DSN": "postgres://$(DB_USER):$(DB_PASSWORD)@db/app"}},
        {"env": {"DB_PASSWORD": "$(OTHER)"}},
        {"env": {"EOS_TOKEN": "</s>", "TOKEN": ""}},
        {"env": {"OPENAI_API_KEY": "EMPTY", "REQUIRE_PASSWORD": "true", "DISABLE_SECRET": "1"}},
        {
            "volumes": [
                {"name": name, "emptyDir": {"sizeLimit": size}} for name, size in {"a": "1.5Gi", "b": "5e8"}.items()
            ]
        },
        {"volumes": [{"name": "a", "csi": {"driver": "d", "readOnly": True, "volumeAttributes": {"a": "b"}}}]},
        {"env": {"PWD": "/app/data", "OLD_PWD": "/"}},
        {"env": {"ALPHASWARM_LOG_LEVEL": "debug", "ALPHASWARM_MAX_DELIVERIES": "9"}},
        {"env": {"ALPHASWARM_DATABASE_HOST": "db.example.com"}},
        {"env": {"OTEL_SERVICE_NAME": "mine"}},
        {"envValueFrom": {"HOST_IP": {"field": "status.hostIP"}, "TEAM": {"field": "metadata.labels['team']"}}},
        {"tolerations": [{"operator": "Exists"}, {"key": "a", "value": "b", "effect": "NoSchedule"}]},
        {"tolerations": [{"key": "a", "effect": "NoExecute", "tolerationSeconds": 0}]},
        {"volumes": [{"name": "weights", "image": {"reference": "registry.example.com/weights:1"}}]},
        {"volumes": [{"name": "a", "emptyDir": {"sizeLimit": "5Gi", "medium": None}}]},
        {"volumeMounts": [{"name": "tmp", "mountPath": "/app/data/deeper"}]},
        {"sidecars": [{**PROXY, "securityContext": None, "restartPolicy": "Always"}]},
        {
            "sidecars": [
                {**PROXY, "resources": {side: {"cpu": 0.5, "memory": "100M"} for side in ("requests", "limits")}}
            ]
        },
        {"sidecars": [{**PROXY, "readinessProbe": {"httpGet": {"port": "http", "path": "/ready"}}}]},
        {"resources": {"requests": {"ephemeralStorage": "500Gi"}}},
        {"resources": {"limits": {"ephemeralStorage": "500Mi"}}},
    ],
)
@pytest.mark.parametrize("layout", ["per-queue", "per-image"])
def test_what_kubernetes_allows_is_accepted(layout: str, options: dict[str, Any]) -> None:
    assert refusal(pods={"executor": options, "beat": options}, layout=layout) == {}


def test_a_sidecar_may_trust_the_brokers_authority() -> None:
    sidecar = {**PROXY, "volumeMounts": [{"name": "broker-ca", "mountPath": "/ca"}]}
    broker = {"kind": "external", "host": "redis.example.com", "existingSecret": "redis"}
    pods = {"all": {"sidecars": [sidecar]}}
    assert refusal(pods=pods, broker={**broker, "ca": {"configMap": "ca"}}) == {}
    assert set(refusal(pods=pods, broker=broker)) == {"fleet:pods.all.sidecars[0].volumeMounts[0].name"}


def test_tracing_of_the_stacks_own_keeps_its_variables() -> None:
    found = refusal(
        pods={"all": {"env": {"OTEL_SERVICE_NAME": "mine"}}}, tracing={"endpoint": "http://collector.example.com:4317"}
    )
    assert found == {"fleet:pods.all.env.OTEL_SERVICE_NAME": "follows from fleet:tracing"}


def test_an_error_hides_no_other_one_of_the_pods_and_makes_none_up() -> None:
    volume = {"name": "ca", "configMap": {"name": "ca"}}
    mount = {"name": "ca", "mountPath": "/etc/company"}
    found = refusal(
        pods={
            "all": {"volumes": [volume], "threads": 0, "env": {"REDIS_BROKER": "x"}},
            "worker": {"volumeMounts": [mount]},
            "executor": {"volumes": "none", "volumeMounts": [mount], "labels": {"cost_center": "x"}},
        }
    )
    assert set(found) == {
        "fleet:pods.all.threads",
        "fleet:pods.all.env.REDIS_BROKER",
        "fleet:pods.executor.volumes",
        "fleet:pods.executor.labels.cost_center",
    }


def test_a_queues_own_options_need_a_pod_of_its_own() -> None:
    found = refusal(layout="per-image", pods={"queues": {"heavy": {"threads": 2}}})
    assert set(found) == {"fleet:pods.queues.heavy"}
    assert "say it in fleet:pods.executor" in found["fleet:pods.queues.heavy"]


@pytest.mark.parametrize(
    ("volumes", "key", "said"),
    [
        ({"/app/model": {"kind": "emptyDir"}}, "/app/model", "did you mean /app/models?"),
        ({"/app/data": {"kind": "nfs"}}, "/app/data.kind", "emptyDir, claim, ephemeral"),
        ({"/app/data": {"kind": "claim"}}, "/app/data.claim", "missing"),
        ({"/app/data": {"kind": "ephemeral"}}, "/app/data.size", "missing"),
        ({"/app/data": {"kind": "claim", "claim": "a", "subPath": "../etc"}}, "/app/data.subPath", "text that matches"),
        ({"/app/data": {"kind": "emptyDir", "queues": ["uzual"]}}, "/app/data.queues[0]", "did you mean usual?"),
        ({"/app/models": {"kind": "emptyDir", "queues": ["usual"]}}, "/app/models.queues[0]", "has no /app/models"),
        (
            {"/app/models": {"kind": "claim", "claim": "m", "accessMode": "ReadWriteOnce"}},
            "/app/models.accessMode", "up to 15 pods have it",
        ),
    ],
)  # fmt: skip
def test_a_volume_that_cannot_be_is_refused(volumes: dict[str, Any], key: str, said: str) -> None:
    found = refusal(volumes=volumes)
    assert set(found) == {f"fleet:volumes.{key}"}
    assert said in found[f"fleet:volumes.{key}"]


def test_a_volume_that_cannot_be_hides_no_other_one() -> None:
    found = refusal(
        volumes={
            "/app/data": {"kind": "nfs"},
            "/app/model": {"kind": "emptyDir"},
            "/app/models": {"kind": "claim", "claim": "m", "accessMode": "ReadWriteOnce"},
        }
    )
    assert set(found) == {
        "fleet:volumes./app/data.kind", "fleet:volumes./app/model", "fleet:volumes./app/models.accessMode",
    }  # fmt: skip


def test_a_claim_behind_two_directories_is_still_one_claim() -> None:
    once = {"kind": "claim", "claim": "one", "accessMode": "ReadWriteOnce"}
    found = refusal(
        volumes={"/app/models": {**once, "queues": ["gpu"]}, "/app/cache": {**once, "queues": ["heavy"]}},
        scaling={"heavy": {"maxReplicas": 1}},
    )
    assert set(found) == {"fleet:volumes./app/models.accessMode", "fleet:volumes./app/cache.accessMode"}
    assert all("up to 2 pods" in text for text in found.values())


def test_a_claim_for_one_pod_is_allowed_where_there_is_one_pod() -> None:
    once = {"kind": "claim", "claim": "m", "accessMode": "ReadWriteOnce", "queues": ["gpu"]}
    assert refusal(volumes={"/app/models": once}) == {}
    two = refusal(volumes={"/app/models": once}, scaling={"gpu": {"maxReplicas": 2}})
    assert "up to 2 pods" in two["fleet:volumes./app/models.accessMode"]
    assert (
        "layout per-image"
        in refusal(volumes={"/app/models": once}, layout="per-image")["fleet:volumes./app/models.accessMode"]
    )


@pytest.mark.parametrize("name", ["TOKENIZERS_PARALLELISM", "SECRET_NAME", "PASSWORD_FILE", "DATABASE_HOST"])
def test_a_name_that_only_speaks_of_secrets_is_no_secret(name: str) -> None:
    assert refusal(pods={"all": {"env": {name: "something"}}}) == {}


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["name", "image", "env", "ports", "resources", "securityContext", "emptyDir", "mountPath", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
LISTS = ("volumes", "volumeMounts", "initContainers", "sidecars", "topologySpreadConstraints")


FIELDS = (
    "name", "image", "env", "envFrom", "ports", "resources", "securityContext", "lifecycle", "livenessProbe", "command",
    "volumeMounts", "emptyDir", "secret", "mountPath", "subPath", "maxSkew", "topologyKey", "whenUnsatisfiable", "x",
)  # fmt: skip


@given(st.sampled_from(LISTS), st.dictionaries(st.sampled_from(FIELDS), PLAIN))
@example("sidecars", {**PROXY, "securityContext": None, "resources": {**SMALL["resources"], "claims": None}})
@example("initContainers", {**PROXY, "securityContext": {"capabilities": None, "seccompProfile": None}, "env": None})
@example("volumes", {"name": "a", "emptyDir": {"sizeLimit": "1Gi", "medium": None}, "secret": None})
@hypothesis_settings(max_examples=200)
def test_whatever_an_object_holds_it_is_refused_or_becomes_objects(where: str, item: dict[str, Any]) -> None:
    pods = {"executor": {where: [item]}}
    found = refusal(pods=pods)
    assert all(key.startswith(f"fleet:pods.executor.{where}[0]") for key in found)
    if not found:
        for one in written_objects(parse(configuration("dev", scaling={}, pods=pods)), built_images()):
            assert "null" not in json.dumps(one), "Kubernetes takes null for a wish to remove"


def test_every_option_together_is_accepted() -> None:
    assert refusal(pods={"all": pod_options("all"), "queues": {"heavy": pod_options("heavy")}}) == {}
