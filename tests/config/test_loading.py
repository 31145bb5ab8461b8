"""A stack's configuration: what is valid is read, and what is not is refused by the key that the file writes."""

import copy
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import BaseModel

from config.errors import SettingsError
from config.loading import _decoded, parse
from config.schema import Settings
from config.tuning import tuned_catalogue
from queues import Catalogue, ScaleDown, Sessions
from tests.config.messages import told
from tests.own_rows import OWN_ROWS, catalogue
from tests.pod_options import SCOPES, pod_options
from tests.program import harness
from tests.program.harness import Configuration, as_the_engine_passes_it, fail, written_objects

ROOT = Path(__file__).parents[2]
PASSWORD = frozenset({"brokerPassword"})
HEAVY, GPU = "Risk.intra_day", "gpu"  # rows of the tests' own catalogue


@pytest.fixture(scope="module", autouse=True)
def _own_rows() -> Iterator[None]:
    with catalogue(OWN_ROWS):
        yield


DIGESTS = {
    name: f"registry.example.com/{name}@sha256:{digit * 64}" for name, digit in (("worker", "1"), ("executor", "2"))
}
REFERENCES = {f"alphaswarm-{name}": reference for name, reference in DIGESTS.items()}

PLAIN_OBJECTS = ("volumes", "volumeMounts", "initContainers", "sidecars", "affinity", "topologySpreadConstraints")
COMMON: Mapping[str, Any] = {
    "environment": "staging",
    "namespace": "fleet",
    "layout": "per-queue",
    "aws": {"region": "eu-central-1", "accountId": "111122223333", "endpoint": "http://127.0.0.1:5001"},
    "cluster": {"context": "here", "kubeconfig": "/etc/kube/config", "awaitReady": False},
    "celeryApp": "research.tasks:app",
    "markBusyPods": False,
    "scaling": {
        HEAVY: {
            "minReplicas": 1, "maxReplicas": 5, "concurrency": 3, "pollingInterval": 7, "cooldownPeriod": 70,
            "timeLimit": 500, "gracePeriod": 600, "visibilityTimeout": 900, "softShutdown": 400,
            "sessions": {"calendar": "XNYS", "minReplicas": 4, "before": 60, "after": 0, "rollouts": "anytime"},
            "targetWait": 90,
        },
        GPU: {"maxReplicas": 2},
    },
    "pods": {
        **{scope: pod_options(scope) for scope in SCOPES},
        "queues": {HEAVY: pod_options("heavy")},
    },
    "volumes": {
        "/app/data": {"kind": "claim", "claim": "data", "accessMode": "ReadWriteMany", "subPath": "fleet"},
        "/app/models": {"kind": "ephemeral", "storageClass": "fast", "size": "100Gi", "queues": [GPU, HEAVY]},
        "/app/cache": {"kind": "emptyDir", "size": "50Gi"},
    },
    "metrics": {"enabled": True, "scrapeNamespace": "observers"},
    "tracing": {"endpoint": "http://collector.example.com:4317", "sampleRatio": 0.5},
    "gpu": {
        "count": 4,
        "nodeSelector": {"nodes": "gpu"},
        "tolerations": [
            {"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoExecute", "tolerationSeconds": 9},
        ],
        "resource": "amd.com/gpu",
    },
    "identity": {
        "oidcProviderArn": "arn:aws:iam::111122223333:oidc-provider/oidc.example.com/id/1",
        "workerPolicies": ["arn:aws:iam::111122223333:policy/a"],
        "executorPolicies": ["arn:aws:iam::111122223333:policy/b"],
        "permissionsBoundary": "arn:aws:iam::111122223333:policy/c",
    },
    "egress": [{"cidr": "10.0.0.0/8", "ports": [5432, 5433]}],
    "quota": {"headroom": 3.5},
    "labels": {"project": "p", "costCenter": "c", "owner": "o", "dataClassification": "restricted"},
    "protect": True,
}  # fmt: skip
REGISTRY = {
    "kmsKey": "create", "scanOnPush": False, "untaggedDays": 3, "cacheDays": 4, "keepImages": 50,
    "readers": ["444455556666"], "protect": False, "address": "127.0.0.1:5000",
}  # fmt: skip
EXTERNAL = {
    "kind": "external", "host": "redis.example.com", "port": 6380, "tls": True, "user": "fleet",
    "database": 2, "resultDatabase": 3, "existingSecret": "theirs", "existingSecretKey": "redis-password",
    "passwordless": False, "ca": {"configMap": "company-ca", "key": "root.pem"},
    "scalerAuthentication": "keda-redis",
}  # fmt: skip
FETCHED = {
    "kind": "external", "host": "redis.example.com", "ca": {"secret": "company-ca"},
    "resultUrl": {"secret": "results", "key": "url"}, "externalSecret": {
        "store": "vault", "storeKind": "SecretStore", "key": "redis", "property": "password", "refreshInterval": "15m",
    },
}  # fmt: skip
IN_CLUSTER = {
    "kind": "in-cluster", "image": "redis:8", "scalerAddress": "127.0.0.1:6379", "database": 4, "resultDatabase": 5,
}  # fmt: skip
BUILD = {
    "source": "build", "application": "images/app", "platforms": ["linux/arm64"], "builder": "b",
    "contexts": {"base": "docker-image://base"}, "buildArgs": {"REVISION": "0123abc"},
    "extras": {"worker": ["web"], "executor": ["web", "models"]}, "python": "3.14",
    "dependencies": {"worker": "pure", "executor": "compiled"}, "sourceRoots": [".", "backend/src"], "version": None,
    "checkImport": False,
}  # fmt: skip
# Between them they use every key that there is.
FULL: Mapping[str, tuple[dict[str, Any], frozenset[str]]] = {
    "building": ({**COMMON, "registry": REGISTRY, "images": BUILD, "broker": EXTERNAL}, frozenset()),
    "promoting": ({**COMMON, "images": {"source": "promote", "stack": "o/p/s"}, "broker": IN_CLUSTER}, PASSWORD),
    "given": (
        {
            **COMMON,
            "images": {"source": "digests", **DIGESTS},
            "broker": FETCHED,
            "identity": {"podIdentityCluster": "trading"},
        },
        frozenset(),
    ),
}


def configuration(stack: str, **changes: Any) -> Configuration:  # noqa: ANN401 any configuration
    """A stack's file without its own tuning, which names queues of the committed catalogue."""
    return harness.configuration(stack, **{"scaling": {}, **changes})


def read(plain: dict[str, Any], secrets: frozenset[str]) -> Settings:
    """Parse what the engine would hand over."""
    return parse(
        {key.removeprefix("fleet:"): _decoded(text) for key, text in as_the_engine_passes_it(plain).items()}, secrets
    )


def refusal(plain: dict[str, Any], secrets: frozenset[str] = frozenset()) -> dict[str, str]:
    """The refused keys, with what is said of each. Raises AssertionError when nothing is refused."""
    try:
        settings = read(plain, secrets)
    except SettingsError as error:
        return told(str(error))
    raise AssertionError(f"was accepted: {settings!r}")


# --- what is valid ---


@pytest.mark.parametrize("which", FULL)
def test_every_value_of_a_full_configuration_arrives(which: str) -> None:
    plain, secrets = FULL[which]
    settings = read(plain, secrets)
    found = settings.model_dump(by_alias=True, mode="json", exclude_unset=True)
    assert found == plain


def test_the_full_configurations_use_every_key_there_is() -> None:
    used = {path for plain, _ in FULL.values() for path in _key_paths(plain)}
    assert set(_model_paths(Settings, "")) <= used, "a key is read that no test of bad configurations reaches"


def _key_paths(value: object, above: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            path = f"{above}.{'*' if _names_below(above) else key}".removeprefix(".")
            yield path
            yield from _key_paths(item, path)
    elif isinstance(value, list):
        for item in value:
            yield from _key_paths(item, above)


def _names_below(path: str) -> bool:
    """Whether the keys of a mapping are names of the reader's own."""
    return path in ("scaling", "pods.queues", "volumes") or path.endswith(".envValueFrom")


def _model_paths(model: type[BaseModel], above: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        path = f"{above}.{field.alias or name}".removeprefix(".")
        yield path
        for part in _models(field.annotation):
            yield from _model_paths(part, f"{path}.*" if _names_below(path) else path)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 any annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def test_a_false_and_a_zero_are_answers() -> None:
    plain = {**configuration("dev"), "registry": {"scanOnPush": False}, "scaling": {"usual": {"minReplicas": 0}}}
    settings = read(plain, frozenset())
    assert settings.registry is not None
    assert settings.registry.scan_on_push is False
    assert tuned_catalogue(settings).queue("usual").min_replicas == 0


@pytest.mark.parametrize(("text", "value"), [("true", True), ("false", False)])
def test_the_engines_text_for_a_truth_value_is_understood(text: str, value: bool) -> None:
    assert parse({**configuration("dev"), "protect": text}).protect is value


def test_settings_cannot_be_changed_in_place() -> None:
    settings = parse(configuration("dev"))
    with pytest.raises(ValueError, match="frozen"):
        settings.namespace = "other"


# --- what is refused: one mutation of a valid configuration, and exactly its key is named ---


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:  # noqa: ANN401 any data
    items: Iterator[tuple[str | int, Any]] = iter(())
    if isinstance(value, dict):
        items = iter(value.items())
    elif isinstance(value, list):
        items = iter(enumerate(value))
    for key, item in items:
        yield (*path, key)
        yield from _paths(item, (*path, key))


def _spelt(path: tuple[str | int, ...]) -> str:
    text = "".join(
        f"[{step}]" if isinstance(step, int) else f'["{step}"]' if "." in step else f".{step}" for step in path
    )
    return f"fleet:{text.removeprefix('.')}"


def _at(value: Any, path: tuple[str | int, ...]) -> Any:  # noqa: ANN401 any data
    for step in path:
        value = value[step]
    return value


def _changed(plain: dict[str, Any], path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    result = copy.deepcopy(plain)
    _at(result, path[:-1])[path[-1]] = value
    return result


def _wrong(value: object, *, top: bool) -> st.SearchStrategy[Any]:
    """Values that can never stand in for `value`; the engine turns a scalar at the top into text, so none there."""
    shapes: list[st.SearchStrategy[Any]] = []
    if not isinstance(value, dict):
        shapes.append(st.dictionaries(st.text("abc", min_size=1), st.integers(), max_size=2))
    if not isinstance(value, list):
        shapes.append(st.lists(st.integers(), max_size=3))
    if isinstance(value, str) and not top:
        shapes += [st.integers(), st.floats(allow_nan=False), st.booleans()]
    if isinstance(value, bool | int | float):
        shapes.append(st.sampled_from(["perhaps", "abc", ""]))
    if isinstance(value, int | float) and not isinstance(value, bool):
        shapes += [st.booleans(), st.just(-1), st.just(10**40), st.just(float("nan"))]
    if isinstance(value, int) and not isinstance(value, bool):
        shapes.append(st.just(2.5))
    if isinstance(value, dict | list):
        shapes += [st.sampled_from(["perhaps", ""]), st.just("plain")]
        if not top:
            shapes += [st.integers(), st.booleans()]
    return st.one_of(shapes)


NOT_IN_WORDS = (
    "http", "pydantic", "Traceback", "validation error", "instance of", "Input should", "type=", "dictionary", "tuple",
    "should match", "after validation",
)  # fmt: skip


def _in_plain_object(path: tuple[str | int, ...]) -> bool:
    """Whether Kubernetes says what is allowed there; a list's items must still be mappings."""
    inside = [step in PLAIN_OBJECTS for step in path[2:]]
    return path[0] == "pods" and True in inside and len(inside) - inside.index(True) > 2


@st.composite
def mutations(draw: st.DrawFn) -> tuple[str, tuple[str | int, ...], object]:
    which = draw(st.sampled_from(sorted(FULL)))
    path = draw(st.sampled_from([path for path in _paths(FULL[which][0]) if not _in_plain_object(path)]))
    return which, path, draw(_wrong(_at(FULL[which][0], path), top=len(path) == 1))


@given(mutations())
@hypothesis_settings(max_examples=400)
@example(("building", ("gpu", "count"), True))
@example(("building", ("scaling", HEAVY, "gracePeriod"), 10**40))
@example(("building", ("scaling", HEAVY, "visibilityTimeout"), 10**12))
@example(("given", ("broker", "kind"), ["external"]))
@example(("building", ("registry",), "plain"))
def test_a_value_of_the_wrong_type_is_refused_by_its_key_alone(
    mutation: tuple[str, tuple[str | int, ...], object],
) -> None:
    which, path, value = mutation
    plain, secrets = FULL[which]
    found = refusal(_changed(plain, path, value), secrets)
    allowed = {_spelt(path)} | _inside(path, value)
    assert found.keys() <= allowed, f"{_spelt(path)} = {value!r}"
    assert found
    for text in found.values():
        assert not [word for word in NOT_IN_WORDS if word in text.replace(repr(value), "")]


def _inside(path: tuple[str | int, ...], value: object) -> set[str]:
    """The keys that a message may name where a whole section was exchanged: those inside it."""
    below = {_spelt(inner) for inner in _paths(value, path)}
    if path in (("broker",), ("images",)):
        below |= {f"{_spelt(path)}.kind", f"{_spelt(path)}.source"}
    return below


def _free(path: tuple[str | int, ...]) -> bool:
    """Whether the keys of this mapping are names of the reader's own, or Kubernetes'."""
    if path in (("scaling",), ("volumes",), ("images", "contexts"), ("images", "buildArgs"), ("pods", "queues")):
        return True
    own = {"env", "envValueFrom", "labels", "annotations", "nodeSelector"}
    return len(path) > 1 and (path[-1] in own or any(step in PLAIN_OBJECTS for step in path[2:]))


@given(st.data())
@hypothesis_settings(max_examples=200)
def test_an_unknown_key_is_refused_wherever_it_stands(data: st.DataObject) -> None:
    plain, secrets = FULL[data.draw(st.sampled_from(sorted(FULL)))]
    sections = [()] + [path for path in _paths(plain) if isinstance(_at(plain, path), dict) and not _free(path)]
    section = data.draw(st.sampled_from(sections))
    key = data.draw(st.from_regex(r"[a-z]{3,8}Zz", fullmatch=True))
    value = data.draw(st.sampled_from([1, "x", {"a": 1}, [1], True]))
    found = refusal(_changed(plain, (*section, key), value), secrets)
    assert set(found) == {_spelt((*section, key))}
    assert found[_spelt((*section, key))].startswith("unknown key")


@given(st.data())
@hypothesis_settings(max_examples=100)
def test_a_misspelt_key_is_answered_with_the_right_one(data: st.DataObject) -> None:
    plain, secrets = FULL[data.draw(st.sampled_from(sorted(FULL)))]
    paths = [path for path in _paths(plain) if isinstance(path[-1], str) and len(path[-1]) > 5]
    path = data.draw(st.sampled_from([one for one in paths if not _free(one[:-1]) or one[:-1] == ("scaling",)]))
    right = str(path[-1])
    wrong = f"{right[:-2]}{right[-1]}{right[-2]}"
    if wrong == right:
        wrong = right[:-1]
    result = _changed(plain, (*path[:-1], wrong), _at(plain, path))
    found = refusal(result, secrets)
    assert f"did you mean {right}?" in found[_spelt((*path[:-1], wrong))]


def test_a_misspelt_secret_is_answered_with_the_right_name() -> None:
    found = refusal({**configuration("local"), "brokerPasword": "hunter2"}, PASSWORD)
    assert "did you mean brokerPassword?" in found["fleet:brokerPasword"]
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    ("change", "key", "said"),
    [
        ({"environment": "qa"}, "fleet:environment", "'local', 'dev', 'staging' or 'prod'"),
        ({"layout": "both"}, "fleet:layout", "'per-queue' or 'per-image'"),
        ({"namespace": "Not A Label"}, "fleet:namespace", "'Not A Label'"),
        ({"scaling": {"heavy": {"minReplicas": 7}}}, "fleet:scaling.heavy", "min 7 and max 6"),
        ({"scaling": {"heavy": {"gracePeriod": 10}}}, "fleet:scaling.heavy", "must exceed the time limit (3600 s)"),
        ({"scaling": {"heavy": {"visibilityTimeout": 3700}}}, "fleet:scaling.heavy", "the grace period (3700 s)"),
        ({"scaling": {"heavy": {"taskLimit": 60}}}, "fleet:scaling.heavy.taskLimit", "is named timeLimit"),
        ({"scaling": {"awake": {"minReplicas": 0}}}, "fleet:scaling.awake", "never scales to zero"),
        ({"scaling": {"heavvy": {}}}, "fleet:scaling.heavvy", "did you mean heavy?"),
        ({"scaling": {"no.such": {}}}, 'fleet:scaling["no.such"]', "there is no such queue"),
        ({"scaling": {HEAVY: {"maxReplicas": 0}}}, f'fleet:scaling["{HEAVY}"].maxReplicas', "at least 1"),
        ({"scaling": {HEAVY: {"gracePeriod": 10}}}, f'fleet:scaling["{HEAVY}"]', "must exceed the time limit"),
        ({"scaling": {"heavy": {"image": "worker"}}}, "fleet:scaling.heavy.image", "no stack may move a queue"),
        (
            {"gpu": {"count": 2}, "scaling": {"gpu": {"maxReplicas": 3}}},
            "fleet:scaling.gpu.maxReplicas", "at most 2",
        ),
        ({"images": {"source": "elsewhere"}}, "fleet:images.source", "build, promote, digests"),
        ({"broker": {"kind": "kafka"}}, "fleet:broker.kind", "in-cluster, external"),
        ({"broker": {**EXTERNAL, "host": "redis"}}, "fleet:broker.host", "fully qualified"),
        ({"broker": {**EXTERNAL, "ca": {}}}, "fleet:broker.ca", "one is needed"),
        ({"broker": {**EXTERNAL, "tls": False}}, "fleet:broker.ca", "of no use"),
        ({"broker": {**EXTERNAL, "tls": 1}}, "fleet:broker.tls", "true or false"),
        ({"metrics": {"enabled": "yes"}}, "fleet:metrics.enabled", "true or false"),
        (
            {"broker": {**EXTERNAL, "resultUrl": {"secret": "a", "key": "b"}}},
            "fleet:broker.resultDatabase", "remove one of them",
        ),
        ({"egress": [{"cidr": "10.40.0.9", "ports": [1]}]}, "fleet:egress[0].cidr", "10.40.0.9/32"),
        ({"egress": [{"cidr": "10.40.0.0/255.255.0.0", "ports": [1]}]}, "fleet:egress[0].cidr", "10.40.0.0/16"),
        ({"egress": [{"cidr": "fe80::%eth0/64", "ports": [1]}]}, "fleet:egress[0].cidr", "10.40.0.0/16"),
        ({"images": {**BUILD, "buildArgs": {"VERSION1": "1"}}}, "fleet:images.buildArgs.VERSION1", "mean VERSION"),
        ({"images": {**BUILD, "contexts": {"bsae": "../a"}}}, "fleet:images.contexts.bsae", "did you mean base"),
        (
            {"images": {**BUILD, "contexts": {"base": "https://me:hunter2@example.com/a.git"}}},
            "fleet:images.contexts.base", "looks like a secret",
        ),
        ({"layout": "per-image", "broker": EXTERNAL, "scaling": {}}, "fleet:broker.scalerAuthentication", "per-image"),
        (
            {"broker": {**EXTERNAL, "passwordless": True, "user": None}},
            "fleet:brokerPassword", "not fleet:broker.existingSecret",
        ),
        (
            {"broker": {**EXTERNAL, "passwordless": True, "existingSecret": None, "existingSecretKey": "password"}},
            "fleet:broker.user", "logs in as nobody",
        ),
        (
            {"broker": {**FETCHED, "existingSecretKey": "redis-password"}},
            "fleet:broker.existingSecretKey", "remove this key",
        ),
        (
            {"images": {**BUILD, "buildArgs": {"PIP_INDEX_URL": "https://u:hunter2@pypi.example.com/simple"}}},
            "fleet:images.buildArgs.PIP_INDEX_URL", "fleet:netrc",
        ),
        ({"broker": {"kind": "external", "host": "a.b"}}, "fleet:brokerPassword", "none is there"),
        ({"broker": {**EXTERNAL, "password": "hunter2"}}, "fleet:broker.password", "is a secret"),
        ({"broker": {**EXTERNAL, "sentinelMaster": "m"}}, "fleet:broker.sentinelMaster", "follows the primary"),
        ({"broker": {**EXTERNAL, "tlsServerName": "m"}}, "fleet:broker.tlsServerName", "KEDA's redis scaler"),
        ({"identity": {}}, "fleet:identity", "one is needed"),
        (
            {"identity": {**COMMON["identity"], "podIdentityCluster": "trading"}}, "fleet:identity", "not both",
        ),
        ({"registry": None}, "fleet:registry", "owns the repositories"),
        ({"aws": None}, "fleet:aws", "needs an account and a region"),
        ({"aws": {"region": "eu-central-1", "accountId": "1"}}, "fleet:aws.accountId", "12-digit"),
        ({"images": {"source": "promote", "stack": "o/p/s"}}, "fleet:registry", "remove this key"),
        ({"scaling": {"heavy": {"maxReplicas": 500}}}, "fleet:quota.headroom", "at least"),
        ({"egress": [{"cidr": "10.0.0.0/8", "ports": []}]}, "fleet:egress[0].ports", "not empty"),
        ({"labels": None}, "fleet:labels", "missing"),
        (
            {"images": {"source": "build", "buildArgs": {"WORKER_QUEUES": "heavy"}}},
            "fleet:images.buildArgs.WORKER_QUEUES", "from queues.py",
        ),
    ],
)  # fmt: skip
def test_each_rule_names_the_key_and_what_is_allowed(change: dict[str, Any], key: str, said: str) -> None:
    found = refusal(configuration("dev", **change))
    assert set(found) == {key}
    assert said in found[key]


@pytest.mark.parametrize(
    ("change", "secrets", "key", "said"),
    [
        ({"scaling": {"usual": {"minReplicas": 0}}}, frozenset(), "fleet:scaling.usual.minReplicas", "always on"),
        ({"broker": {"kind": "in-cluster"}}, PASSWORD, "fleet:broker.kind", "in prod: external"),
        ({}, PASSWORD, "fleet:brokerPassword", "not fleet:brokerPassword and fleet:broker.existingSecret"),
        (
            {"broker": {"kind": "external", "host": "r.example.com"}},
            frozenset(), "fleet:brokerPassword", "none is there",
        ),
    ],
)  # fmt: skip
def test_production_refuses_what_would_lose_tasks(
    change: dict[str, Any], secrets: frozenset[str], key: str, said: str
) -> None:
    found = refusal(configuration("prod", **change), secrets)
    assert set(found) == {key}
    assert said in found[key]


def test_every_problem_is_reported_at_once() -> None:
    found = refusal(
        configuration(
            "dev",
            layout="both",
            lables={},
            scaling={"heavy": {"minReplicas": 7}, "nope": {}, HEAVY: {"speed": 1}},
            images={"source": "build", "platforms": ["windows"]},
            broker={**EXTERNAL, "host": "redis"},
        )
    )
    assert set(found) == {
        "fleet:layout", "fleet:lables", "fleet:scaling.heavy", "fleet:scaling.nope", f'fleet:scaling["{HEAVY}"].speed',
        "fleet:images.platforms[0]", "fleet:broker.host",
    }  # fmt: skip


@given(mutations())
@hypothesis_settings(max_examples=5)
def test_a_bad_configuration_registers_no_resource(mutation: tuple[str, tuple[str | int, ...], object]) -> None:
    which, path, value = mutation
    plain, secrets = FULL[which]
    failure = fail(_changed(plain, path, value), dict.fromkeys(secrets, "x"))
    assert type(failure.error).__name__ == "RunError", "the engine would show a traceback"
    assert not failure.registrations
    assert failure.error.__cause__ is None
    assert told(str(failure.error))


# --- what any valid tuning becomes ---


@st.composite
def tunings(draw: st.DrawFn) -> dict[str, dict[str, int]]:
    found = {}
    for name in draw(st.lists(st.sampled_from(sorted(OWN_ROWS.names)), unique=True, max_size=4)):
        limit = draw(st.integers(1, 100_000))
        soft = draw(st.integers(1, 100_000))
        least = draw(st.integers(1, 4))
        grace = max(soft, limit) + draw(st.integers(1, 1000))
        found[name] = {
            "minReplicas": least,
            "maxReplicas": least + draw(st.integers(0, 4)),
            "concurrency": 1 if OWN_ROWS.queue(name).scale_down is ScaleDown.DISABLED else draw(st.integers(1, 32)),
            "pollingInterval": draw(st.integers(1, 60)),
            "cooldownPeriod": draw(st.integers(1, 900)),
            "timeLimit": limit,
            "softShutdown": soft,
            "gracePeriod": grace,
            "visibilityTimeout": grace + draw(st.integers(1, 1000)),
        }
    return found


@given(tunings(), st.sampled_from(["per-queue", "per-image"]), st.sampled_from(["staging", "prod"]))
@hypothesis_settings(max_examples=60)
def test_any_valid_tuning_becomes_objects_that_keep_the_laws(
    tuning: dict[str, dict[str, int]], layout: str, environment: str
) -> None:
    if layout == "per-image":
        of_queues = {"concurrency", "pollingInterval", "cooldownPeriod"}
        tuning = {name: {key: own[key] for key in own.keys() - of_queues} for name, own in tuning.items()}
    plain = {
        **configuration(environment, gpu={"count": 8}),
        "layout": layout, "scaling": tuning, "quota": {"headroom": 9},
    }  # fmt: skip
    settings = read(plain, frozenset())
    objects = written_objects(settings, REFERENCES)
    assert json.loads(json.dumps(objects)) == objects, "an object holds more than plain data"
    for name, given_tuning in tuning.items():
        queue = tuned_catalogue(settings).queue(name)
        assert queue.image is OWN_ROWS.queue(name).image, "a stack moved a queue to another image"
        assert (queue.min_replicas, queue.max_replicas) == (given_tuning["minReplicas"], given_tuning["maxReplicas"])
        assert queue.concurrency == given_tuning.get("concurrency", OWN_ROWS.queue(name).concurrency)
    drained: list[str] = []
    for one in objects:
        spec = one.get("spec", {})
        if one["kind"] == "Deployment" and one["metadata"]["name"] != "alphaswarm-beat":
            pod = spec["template"]["spec"]
            variables = {each["name"]: each.get("value", "") for each in pod["containers"][0]["env"]}
            drained += variables["ALPHASWARM_QUEUES"].split(",")
            longest = variables.get("ALPHASWARM_SOFT_SHUTDOWN", variables["ALPHASWARM_TIME_LIMIT"])
            assert pod["terminationGracePeriodSeconds"] > int(longest)
            assert int(variables["ALPHASWARM_VISIBILITY_TIMEOUT"]) > pod["terminationGracePeriodSeconds"]
        if one["kind"] == "ScaledObject":
            assert 0 <= spec["minReplicaCount"] <= spec["maxReplicaCount"]
            assert ("pollingInterval" in spec) is ("cooldownPeriod" in spec) is (spec["minReplicaCount"] == 0)
        if one["kind"] == "HorizontalPodAutoscaler":
            assert 1 <= spec["minReplicas"] <= spec["maxReplicas"]
    assert sorted(drained) == sorted(OWN_ROWS.names)


def test_the_settings_need_no_engine_to_be_read() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, config.loading; print('pulumi' in sys.modules)"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "False"


# --- sessions and promised waits ---


SESSIONS: dict[str, Any] = {"calendar": "XNYS", "minReplicas": 5}


@pytest.mark.parametrize(
    ("tuning", "key", "said"),
    [
        ({"sessions": {**SESSIONS, "calendar": "XNYX"}}, "sessions.calendar", "did you mean XNYS?"),
        ({"sessions": {**SESSIONS, "calendar": "nyse"}}, "sessions.calendar", "given 'nyse'"),
        ({"sessions": {"calendar": "XNYS"}}, "sessions.minReplicas", "missing"),
        ({"sessions": {**SESSIONS, "minReplicas": 0}}, "sessions.minReplicas", "at least 1"),
        ({"sessions": {**SESSIONS, "before": 43_201}}, "sessions.before", "at most 43200"),
        ({"sessions": {**SESSIONS, "after": -1}}, "sessions.after", "at least 0"),
        ({"sessions": {**SESSIONS, "rollouts": "ask"}}, "sessions.rollouts", "'outside' or 'anytime'"),
        ({"sessions": {**SESSIONS, "replicas": 5}}, "sessions.replicas", "unknown key"),
        ({"sessions": {**SESSIONS, "minReplicas": 7}}, "", "at most max replicas (6), got 7"),
        ({"sessions": {**SESSIONS, "minReplicas": 2}}, "", "must exceed min replicas (2)"),
        ({"targetWait": 0}, "targetWait", "at least 1"),
        ({"targetWait": "1m"}, "targetWait", "a whole number"),
    ],
)
def test_a_floor_or_a_promise_that_cannot_be_kept_is_refused(tuning: dict[str, Any], key: str, said: str) -> None:
    found = refusal(configuration("dev", scaling={"awake": tuning}))
    (name, text), *others = found.items()
    assert name == ".".join(filter(None, ("fleet:scaling.awake", key)))
    assert said in text
    assert not others


@pytest.mark.parametrize("layout", ["per-queue", "per-image"])
def test_a_row_of_the_catalogue_with_an_unknown_calendar_is_refused(layout: str) -> None:
    awake, *others = OWN_ROWS.queues[1:]
    sessions = Sessions(calendar="XNYX", min_replicas=3)
    rows = Catalogue((OWN_ROWS.queues[0], replace(awake, sessions=sessions), *others))
    with catalogue(rows), pytest.raises(SettingsError, match=r"queues\.py, awake, calendar of sessions: given 'XNYX'"):
        read(configuration("dev", layout=layout), PASSWORD)


def test_a_layout_without_scalers_has_no_floors_and_no_promises() -> None:
    tuning = {"sessions": SESSIONS, "targetWait": 60, "pollingInterval": 9, "cooldownPeriod": 9, "concurrency": 2}
    found = refusal(configuration("dev", layout="per-image", scaling={"awake": tuning}))
    assert set(found) == {f"fleet:scaling.awake.{key}" for key in tuning}
    assert all("per-image" in text for text in found.values())
