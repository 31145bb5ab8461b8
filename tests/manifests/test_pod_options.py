"""What a stack's options make of a pod: each in its place, the special over the general, and nothing unasked."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from config.loading import parse
from config.schema import Settings
from tests.own_rows import OWN_ROWS, catalogue
from tests.pod_options import pod_options
from tests.program.harness import built_images, configuration, written_objects


@pytest.fixture(scope="module", autouse=True)
def _own_rows() -> Iterator[None]:
    with catalogue(OWN_ROWS):
        yield


def settings(**sections: Any) -> Settings:  # noqa: ANN401 any configuration
    return parse(configuration("dev", **{"scaling": {}, **sections}))


def deployment(name: str, found: Settings) -> dict[str, Any]:
    (manifest,) = (
        one
        for one in written_objects(found, built_images())
        if one["kind"] == "Deployment" and one["metadata"]["name"] == name
    )
    return manifest


def pod(name: str, **sections: Any) -> dict[str, Any]:  # noqa: ANN401 any configuration
    """The pod template of a Deployment."""
    template: dict[str, Any] = deployment(name, settings(**sections))["spec"]["template"]
    return template


def container(template: Mapping[str, Any]) -> dict[str, Any]:
    (only,) = template["spec"]["containers"]
    found: dict[str, Any] = only
    return found


def variables(template: Mapping[str, Any]) -> dict[str, Any]:
    listed = container(template)["env"]
    names = [variable["name"] for variable in listed]
    assert len(names) == len(set(names)), f"Kubernetes takes the last of two: {sorted(names)}"
    return {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in listed}


HEAVY, USUAL, GPU, BEAT = (
    "alphaswarm-executor-heavy", "alphaswarm-worker-usual", "alphaswarm-executor-gpu", "alphaswarm-beat",
)  # fmt: skip


@pytest.mark.parametrize(
    ("scope", "reached"),
    [
        ({"all": {}}, {HEAVY, GPU, USUAL, BEAT}),
        ({"worker": {}}, {USUAL}),
        ({"executor": {}}, {HEAVY, GPU}),
        ({"beat": {}}, {BEAT}),
        ({"queues": {"gpu": {}}}, {GPU}),
    ],
)
def test_options_reach_the_pods_they_are_for_and_no_other(scope: dict[str, Any], reached: set[str]) -> None:
    option = {"env": {"MARK": "here"}}
    (name,) = scope
    pods = {"queues": {"gpu": option}} if name == "queues" else {name: option}
    assert {one for one in (HEAVY, GPU, USUAL, BEAT) if "MARK" in variables(pod(one, pods=pods))} == reached


def test_what_is_said_of_a_queue_stands_over_its_image_and_that_over_all() -> None:
    pods = {
        "all": {"env": {"A": "all", "B": "all", "C": "all"}, "threads": 2, "imagePullSecrets": ["one"]},
        "executor": {"env": {"B": "image", "C": "image"}, "threads": 3, "imagePullSecrets": ["two"]},
        "queues": {"heavy": {"env": {"C": "queue"}, "imagePullSecrets": ["three"]}},
    }
    template = pod(HEAVY, pods=pods)
    found = variables(template)
    assert (found["A"], found["B"], found["C"]) == ("all", "image", "queue")
    assert found["OMP_NUM_THREADS"] == "3"
    assert [one["name"] for one in template["spec"]["imagePullSecrets"]] == ["one", "two", "three"]


def test_an_item_takes_the_place_of_a_more_general_one_that_kubernetes_would_not_have_beside_it() -> None:
    def items(size: str, name: str) -> dict[str, Any]:
        spread = {"maxSkew": 5, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
        return {
            "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": size}}],
            "volumeMounts": [{"name": "scratch", "mountPath": "/scratch", "subPath": name}],
            "hostAliases": [{"ip": "10.0.0.9", "hostnames": [name]}],
            "imagePullSecrets": ["pull"],
            "topologySpreadConstraints": [spread],
        }

    spec = pod(HEAVY, pods={"all": items("1Gi", "general"), "executor": items("2Gi", "special")})["spec"]
    assert [one for one in spec["volumes"] if one["name"] == "scratch"] == [
        {"name": "scratch", "emptyDir": {"sizeLimit": "2Gi"}}
    ]
    mounts = spec["containers"][0]["volumeMounts"]
    assert [one["subPath"] for one in mounts if one["mountPath"] == "/scratch"] == ["special"]
    assert spec["hostAliases"] == [{"ip": "10.0.0.9", "hostnames": ["special"]}]
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    assert [one["maxSkew"] for one in spec["topologySpreadConstraints"]] == [1, 5], "zone is ours, the other theirs"


def test_a_variable_has_one_source_whoever_says_it_last() -> None:
    text, reference = {"env": {"URL": "plain"}}, {"envValueFrom": {"URL": {"secret": "app", "key": "url"}}}
    assert variables(pod(HEAVY, pods={"all": reference, "executor": text}))["URL"] == "plain"
    assert variables(pod(HEAVY, pods={"all": text, "executor": reference}))["URL"] == {
        "secretKeyRef": {"name": "app", "key": "url"}
    }


def test_a_stack_may_replace_the_fleets_own_advice_to_libraries() -> None:
    pods = {"executor": {"env": {"HF_HOME": "/app/models/hub", "OMP_NUM_THREADS": "7"}}}
    found = variables(pod(HEAVY, pods=pods))
    assert (found["HF_HOME"], found["OMP_NUM_THREADS"], found["MKL_NUM_THREADS"]) == ("/app/models/hub", "7", "4")


def test_every_option_arrives_in_its_place() -> None:
    template = pod(HEAVY, pods={"queues": {"heavy": pod_options("heavy")}})
    spec, worker = template["spec"], container(template)
    assert template["metadata"]["labels"]["team.example.com/name"] == "quant"
    assert template["metadata"]["annotations"]["team.example.com/pager"] == "7"
    assert spec["imagePullSecrets"] == [{"name": "heavy-pull"}]
    assert spec["hostAliases"] == [{"ip": "10.0.0.9", "hostnames": ["heavy.example.com"]}]
    assert {"name": "heavy-ca", "secret": {"secretName": "ca"}} in spec["volumes"]
    assert {"name": "heavy-ca", "mountPath": "/etc/heavy", "readOnly": True} in worker["volumeMounts"]
    assert spec["nodeSelector"] == {"team.example.com/nodes": "large"}
    assert spec["tolerations"] == [
        {"key": "heavy", "operator": "Equal", "value": "yes", "effect": "NoSchedule"},
        {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60},
    ]
    assert spec["affinity"] == {"nodeAffinity": {}}
    assert spec["topologySpreadConstraints"][-1]["topologyKey"] == "heavy"
    assert spec["runtimeClassName"] == "gvisor"
    assert worker["envFrom"] == [
        {"prefix": "APP_", "secretRef": {"name": "app", "optional": True}},
        {"configMapRef": {"name": "app"}},
    ]
    assert worker["resources"] == {
        "requests": {"cpu": "500m", "memory": "1Gi", "ephemeral-storage": "2Gi"},
        "limits": {"cpu": "2", "memory": "4Gi", "ephemeral-storage": "2Gi"},
    }
    found = variables(template)
    assert (found["ALPHASWARM_MAX_TASKS_PER_CHILD"], found["ALPHASWARM_MAX_MEMORY_PER_CHILD"]) == ("100", "2097152")


def test_a_sidecar_starts_before_the_worker_and_outlives_it() -> None:
    spec = pod(HEAVY, pods={"executor": pod_options("heavy")})["spec"]
    sidecar, migrate = spec["initContainers"]
    assert (sidecar["name"], sidecar["restartPolicy"]) == ("heavy-proxy", "Always"), "Kubernetes would end it first"
    assert migrate["name"] == "heavy-migrate"
    assert "restartPolicy" not in migrate
    for one in (sidecar, migrate):
        assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert one["securityContext"]["allowPrivilegeEscalation"] is False


def test_a_stacks_gpu_nodes_and_what_it_says_of_the_queue_both_count() -> None:
    gpu = {"count": 2, "nodeSelector": {"nodes": "gpu", "card": "any"}, "tolerations": [{"key": "gpu"}]}
    own = {"nodeSelector": {"disk": "fast", "card": "h100"}, "tolerations": [{"key": "spot"}]}
    spec = pod(GPU, gpu=gpu, pods={"queues": {"gpu": own}})["spec"]
    assert spec["nodeSelector"] == {"nodes": "gpu", "disk": "fast", "card": "h100"}
    assert [one["key"] for one in spec["tolerations"]] == ["gpu", "spot"]


REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
ON_CPU = {
    "nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}]}}
}


@pytest.mark.parametrize("layout", ["per-queue", "per-image"])
@pytest.mark.parametrize("selector", [{"accelerator": "nvidia"}, {}])
def test_pods_with_gpus_leave_the_nodes_of_their_image_in_every_layout(selector: dict[str, str], layout: str) -> None:
    gpu = {"count": 2, "nodeSelector": selector, "tolerations": [{"key": "nvidia.com/gpu"}]}
    pods = {"executor": {"nodeSelector": {"accelerator": "none", "pool": "cpu"}}}
    name = GPU if layout == "per-queue" else "alphaswarm-executor"
    assert pod(name, gpu=gpu, pods=pods, layout=layout)["spec"].get("nodeSelector", {}) == selector


@pytest.mark.parametrize("scope", ["all", "executor"])
def test_what_a_stack_says_of_other_nodes_keeps_no_pod_from_its_gpu(scope: str) -> None:
    gpu = {"count": 2, "nodeSelector": {"accelerator": "nvidia"}}
    pods = {scope: {"nodeSelector": {"pool": "cpu"}, "affinity": {**ON_CPU, "podAntiAffinity": {}}}}
    spec = pod(GPU, gpu=gpu, pods=pods)["spec"]
    assert spec["nodeSelector"] == {"accelerator": "nvidia"}
    assert spec["affinity"] == {"podAntiAffinity": {}}
    other = pod(HEAVY, gpu=gpu, pods=pods)["spec"]
    assert other["nodeSelector"] == {"pool": "cpu"}
    assert other["affinity"]["nodeAffinity"] == ON_CPU["nodeAffinity"]


def test_a_part_of_a_gpu_is_asked_for_by_its_own_name() -> None:
    found = settings(gpu={"count": 2, "resource": "nvidia.com/mig-1g.10gb"})
    amounts = container(deployment(GPU, found)["spec"]["template"])["resources"]
    assert amounts["requests"]["nvidia.com/mig-1g.10gb"] == amounts["limits"]["nvidia.com/mig-1g.10gb"] == "1"
    (quota,) = (one for one in written_objects(found, built_images()) if one["kind"] == "ResourceQuota")
    assert quota["spec"]["hard"]["requests.nvidia.com/mig-1g.10gb"] == "4"


def test_a_queue_with_gpus_runs_where_there_are_some_although_its_image_has_nodes_of_its_own() -> None:
    gpu = {"count": 1, "nodeSelector": {"nodes": "gpu"}}
    pods = {"executor": {"nodeSelector": {"nodes": "executor"}}}
    assert pod(GPU, gpu=gpu, pods=pods)["spec"]["nodeSelector"] == {"nodes": "gpu"}
    assert pod(HEAVY, gpu=gpu, pods=pods)["spec"]["nodeSelector"] == {"nodes": "executor"}


@pytest.mark.parametrize(
    ("name", "sections", "threads"),
    [
        (HEAVY, {}, 4),  # 8 processors, 2 tasks
        (GPU, {}, 8),
        (USUAL, {}, 1),
        (HEAVY, {"scaling": {"heavy": {"concurrency": 3}}}, 2),
        (HEAVY, {"pods": {"executor": {"resources": {"limits": {"cpu": "3500m"}}}}}, 1),
        (USUAL, {"scaling": {"usual": {"concurrency": 9}}}, 1),
        (HEAVY, {"pods": {"queues": {"heavy": {"threads": 16}}}}, 16),
    ],
)
def test_libraries_start_as_many_threads_as_the_container_has_processors(
    name: str, sections: dict[str, Any], threads: int
) -> None:
    found = variables(pod(name, **sections))
    asked = {key: value for key, value in found.items() if key.endswith("_THREADS")}
    assert len(asked) == 7
    assert set(asked.values()) == {str(threads)}


def test_shared_memory_is_memory_and_a_part_of_the_limit() -> None:
    def size(**sections: Any) -> Any:  # noqa: ANN401 a quantity
        (volume,) = (one for one in pod(HEAVY, **sections)["spec"]["volumes"] if one["name"] == "shm")
        assert volume["emptyDir"]["medium"] == "Memory"
        return volume["emptyDir"]["sizeLimit"]

    assert size() == "4Gi"
    assert size(pods={"executor": {"resources": {"limits": {"memory": "6Gi"}}}}) == "1536Mi"
    assert size(pods={"all": {"sharedMemory": "5Gi"}}) == "5Gi"


def test_caches_go_where_there_is_room_and_nothing_fills_tmp() -> None:
    for name in (HEAVY, USUAL, BEAT):
        template = pod(name)
        caches = {
            key: value
            for key, value in variables(template).items()
            if value == "/app/cache" or "/app/cache/" in str(value)
        }
        assert len(caches) == 6
        assert {"name": "cache", "mountPath": "/app/cache"} in container(template)["volumeMounts"]


def disk(template: Mapping[str, Any]) -> tuple[str, str]:
    amounts = container(template)["resources"]
    return amounts["requests"]["ephemeral-storage"], amounts["limits"]["ephemeral-storage"]


def test_the_disk_limit_is_the_room_of_what_lies_on_the_nodes_disk() -> None:
    assert disk(pod(HEAVY)) == ("1Gi", "63Gi")  # 2 + 20 + 20 + 20, and 1 for the logs
    claimed = {"/app/data": {"kind": "claim", "claim": "data"}, "/app/cache": {"kind": "emptyDir", "size": "512Mi"}}
    assert disk(pod(HEAVY, volumes=claimed)) == ("1Gi", "24064Mi")


def test_a_directory_lies_where_the_stack_says_for_the_queues_it_says() -> None:
    volumes = {
        "/app/data": {"kind": "claim", "claim": "data", "subPath": "fleet"},
        "/app/models": {"kind": "ephemeral", "storageClass": "fast", "size": "100Gi", "queues": ["gpu"]},
    }
    gpu = {one["name"]: one for one in pod(GPU, volumes=volumes)["spec"]["volumes"]}
    heavy = {one["name"]: one for one in pod(HEAVY, volumes=volumes)["spec"]["volumes"]}
    assert gpu["data"] == heavy["data"] == {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    assert heavy["models"] == {"name": "models", "emptyDir": {"sizeLimit": "20Gi"}}
    claim = gpu["models"]["ephemeral"]["volumeClaimTemplate"]["spec"]
    assert (claim["storageClassName"], claim["resources"]["requests"]["storage"]) == ("fast", "100Gi")
    mounts = container(pod(GPU, volumes=volumes))["volumeMounts"]
    assert {"name": "data", "mountPath": "/app/data", "subPath": "fleet"} in mounts
    beat = {one["name"]: one for one in pod(BEAT, volumes=volumes)["spec"]["volumes"]}
    assert "emptyDir" in beat["data"], "beat keeps nothing, and needs no claim"


def test_a_claim_for_one_pod_is_let_go_before_the_next_pod_wants_it() -> None:
    once = {"kind": "claim", "claim": "m", "accessMode": "ReadWriteOnce", "queues": ["gpu"]}
    found = settings(volumes={"/app/models": once}, scaling={"gpu": {"maxReplicas": 1}})
    assert deployment(GPU, found)["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert deployment(HEAVY, found)["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


@pytest.mark.parametrize(
    ("evictable", "name", "spared"),
    [(None, HEAVY, True), (True, HEAVY, False), (None, USUAL, False), (False, USUAL, True)],
)
def test_a_stack_says_whether_node_autoscalers_may_end_a_pod(evictable: bool | None, name: str, spared: bool) -> None:
    pods = {} if evictable is None else {"all": {"evictable": evictable}}
    annotations = pod(name, pods=pods)["metadata"].get("annotations", {})
    assert ("karpenter.sh/do-not-disrupt" in annotations) is spared


def test_a_pod_that_is_always_there_never_holds_its_node() -> None:
    pods = {"all": {"evictable": False}}
    for name in ("alphaswarm-worker-awake", BEAT):
        assert "karpenter.sh/do-not-disrupt" not in pod(name, pods=pods)["metadata"].get("annotations", {})


def test_a_hung_pod_does_not_get_the_hours_of_a_running_task() -> None:
    worker = container(pod(HEAVY))
    for probe in ("startupProbe", "livenessProbe"):
        assert worker[probe]["terminationGracePeriodSeconds"] == 60
    assert "terminationGracePeriodSeconds" not in worker["readinessProbe"], "Kubernetes refuses it there"


def test_a_stack_that_says_nothing_gets_nothing_of_all_this() -> None:
    for name in (HEAVY, USUAL, GPU, BEAT):
        template = pod(name)
        assert not template["spec"].keys() & {
            "affinity", "hostAliases", "imagePullSecrets", "initContainers", "nodeSelector", "runtimeClassName",
            "tolerations",
        }  # fmt: skip
        assert "envFrom" not in container(template)
        assert not {key for key in variables(template) if "PER_CHILD" in key}


def test_a_text_may_refer_to_a_variable_from_a_secret() -> None:
    pods = {
        "all": {"env": {"DSN": "postgres://$(DB_USER):$(DB_PASSWORD)@db/app"}},
        "executor": {
            "envValueFrom": {name: {"secret": "db", "key": name.lower()} for name in ("DB_USER", "DB_PASSWORD")}
        },
    }
    names = list(variables(pod(HEAVY, pods=pods)))
    assert max(names.index("DB_USER"), names.index("DB_PASSWORD")) < names.index("DSN"), (
        "Kubernetes reads them in order"
    )


def test_a_text_stands_behind_those_that_it_refers_to_in_whatever_order_they_come() -> None:
    texts = {"A": "$(B)/$(OMP_NUM_THREADS)", "B": "$(ROOT)/b", "LOOP": "$(POOL)", "POOL": "$(LOOP)", "ROOT": "/srv"}
    names = list(variables(pod(HEAVY, pods={"executor": {"env": texts}})))
    assert names.index("ROOT") < names.index("B") < names.index("A")
    assert {"LOOP", "POOL"} <= set(names)


@pytest.mark.parametrize("name", [HEAVY, BEAT])
def test_a_secret_whose_keys_all_become_variables_leads_no_worker_to_another_redis(name: str) -> None:
    found = variables(pod(name, pods={"all": {"envFrom": [{"secret": "legacy"}]}}))
    assert found["CELERY_BROKER_URL"] == found["CELERY_RESULT_BACKEND"] == found["ALPHASWARM_BROKER_URL"] == ""
    assert "secretKeyRef" in found["REDIS_BROKER"], "the broker's password stays"
    assert "CELERY_BROKER_URL" not in variables(pod(name))


def test_an_own_result_backend_stays_beside_a_secret_whose_keys_all_become_variables() -> None:
    broker = {
        "kind": "external", "host": "redis.example.com", "existingSecret": "redis",
        "resultUrl": {"secret": "results", "key": "url"},
    }  # fmt: skip
    found = variables(pod(HEAVY, broker=broker, pods={"all": {"envFrom": [{"secret": "legacy"}]}}))
    assert found["CELERY_RESULT_BACKEND"] == {"secretKeyRef": {"name": "results", "key": "url"}}


def mebibytes(quantity: str) -> int:
    return int(quantity[:-2]) * {"Mi": 1, "Gi": 1024}[quantity[-2:]]


def test_the_disk_limit_has_room_for_the_stacks_own_directories() -> None:
    def limit(**options: Any) -> int:  # noqa: ANN401 any options
        return mebibytes(container(pod(HEAVY, pods={"executor": options}))["resources"]["limits"]["ephemeral-storage"])

    on_disk = {"name": "scratch", "emptyDir": {"sizeLimit": "100Gi"}}
    in_memory = {"name": "ram", "emptyDir": {"sizeLimit": "7Gi", "medium": "Memory"}}
    assert limit(volumes=[on_disk, in_memory]) == limit() + 100 * 1024
    assert limit(resources={"requests": {"ephemeralStorage": "900Gi"}}) == 900 * 1024, "a limit is no less than that"
    small = container(pod(HEAVY, pods={"executor": {"resources": {"limits": {"ephemeralStorage": "500Mi"}}}}))
    assert small["resources"]["requests"]["ephemeral-storage"] == "500Mi", "a request is no more than the limit"


def test_a_sidecar_has_a_disk_limit_of_its_own() -> None:
    amounts = {side: {"cpu": "10m", "memory": "16Mi"} for side in ("requests", "limits")}
    sidecars = [{"name": "plain", "image": "a:1", "resources": amounts}] + [
        {
            "name": name,
            "image": "a:1",
            "resources": {**amounts, "requests": {**amounts["requests"], "ephemeral-storage": requested}},
        }
        for name, requested in (("larger", "3Gi"), ("smaller", "50M"))
    ]
    found = pod(HEAVY, pods={"executor": {"sidecars": sidecars}})["spec"]["initContainers"]
    assert [one["resources"]["limits"]["ephemeral-storage"] for one in found] == ["1Gi", "3Gi", "1Gi"]


@pytest.mark.parametrize("name", [HEAVY, USUAL, BEAT])
def test_a_rule_of_spreading_without_a_selector_is_about_the_deployments_own_pods(name: str) -> None:
    rack = {"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}
    theirs = {**rack, "topologyKey": "row", "labelSelector": {"matchLabels": {"a": "b"}}}
    template = pod(name, pods={"all": {"topologySpreadConstraints": [rack, theirs]}})
    found = {one["topologyKey"]: one["labelSelector"] for one in template["spec"]["topologySpreadConstraints"]}
    assert found["row"] == theirs["labelSelector"]
    assert found["rack"]["matchLabels"].items() <= template["metadata"]["labels"].items()


def test_a_queue_whose_tasks_must_not_be_interrupted_may_be_said_to_be_evictable() -> None:
    def budget(**pods: Any) -> dict[str, Any]:  # noqa: ANN401 any options
        (found,) = (
            one["spec"]
            for one in written_objects(settings(pods=pods), built_images())
            if one["kind"] == "PodDisruptionBudget" and one["metadata"]["name"] == GPU
        )
        spec: dict[str, Any] = found
        return spec

    assert budget()["maxUnavailable"] == 0
    assert budget(queues={"gpu": {"evictable": False}})["maxUnavailable"] == 0
    freed = budget(queues={"gpu": {"evictable": True}})
    assert (freed["maxUnavailable"], freed["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")


def test_beat_imports_the_application_with_one_thread() -> None:
    found = variables(pod(BEAT))
    assert {found[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")} == {"1"}


@pytest.mark.parametrize(
    ("given", "rendered"),
    [
        ({"key": "a"}, {"key": "a", "operator": "Exists"}),
        ({"key": "a", "value": "b", "effect": "NoSchedule"}, {
            "key": "a", "operator": "Equal", "value": "b", "effect": "NoSchedule"}),
        ({"operator": "Exists"}, {"operator": "Exists"}),
    ],
)  # fmt: skip
def test_a_toleration_is_what_kubernetes_takes_it_for(given: dict[str, Any], rendered: dict[str, Any]) -> None:
    assert pod(HEAVY, pods={"executor": {"tolerations": [given]}})["spec"]["tolerations"] == [rendered]
    gpu = {"count": 1, "tolerations": [given]}
    assert pod(GPU, gpu=gpu)["spec"]["tolerations"] == [rendered]


def test_the_stacks_own_redis_is_pulled_with_the_secrets_of_every_pod() -> None:
    found = parse(
        configuration("dev", scaling={}, broker={"kind": "in-cluster"}, pods={"all": {"imagePullSecrets": ["hub"]}}),
        frozenset({"brokerPassword"}),
    )
    assert deployment("redis", found)["spec"]["template"]["spec"]["imagePullSecrets"] == [{"name": "hub"}]


def test_traces_open_no_way_to_the_nodes_own_credentials() -> None:
    def opened(port: int) -> list[Any]:
        found = settings(tracing={"endpoint": f"http://collector.example.com:{port}"})
        (policy,) = (
            one
            for one in written_objects(found, built_images())
            if one["kind"] == "NetworkPolicy" and one["metadata"]["name"] == "workers-egress"
        )
        (rule,) = (one for one in policy["spec"]["egress"] if {"protocol": "TCP", "port": port} in one["ports"])
        return list(rule.get("to", []))

    assert opened(4317) == []
    assert all("169.254.0.0/16" in str(one) or "::/0" in str(one) for one in opened(80))
    assert opened(80)


@pytest.mark.parametrize("name", [HEAVY, USUAL, BEAT])
def test_an_init_container_may_run_one_of_the_fleets_images_as_the_stack_deploys_it(name: str) -> None:
    """No file can know the digest: the stack builds it, or another one did."""
    small = {"resources": {side: {"cpu": "10m", "memory": "16Mi"} for side in ("requests", "limits")}}
    migrate = {
        "name": "migrate",
        "image": "alphaswarm-worker",
        "command": ["python", "-m", "django", "migrate"],
        **small,
    }
    proxy = {"name": "proxy", "image": "alphaswarm-executor", **small}
    spec = pod(name, pods={"all": {"initContainers": [migrate], "sidecars": [proxy]}})["spec"]
    images = built_images()
    assert {one["name"]: one["image"] for one in spec["initContainers"]} == {
        "migrate": images["alphaswarm-worker"],
        "proxy": images["alphaswarm-executor"],
    }
