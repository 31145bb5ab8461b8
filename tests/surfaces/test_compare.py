"""A comparison misses nothing and says where to look."""

import pytest

from manifests import Manifest
from tests.surfaces.compare import compare

NAME = "v1 Thing x in y"


def thing(spec: object, name: str = "x") -> Manifest:
    return {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": name, "namespace": "y"}, "spec": spec}


@pytest.mark.parametrize(
    ("expected", "actual", "line"),
    [
        ({"a": "1"}, {"a": 1}, 'spec.a: expected "1", got 1'),
        ({"a": True}, {"a": 1}, "spec.a: expected true, got 1"),
        ({"a": 0}, {"a": False}, "spec.a: expected 0, got false"),
        ({"a": None}, {}, "spec.a: expected null, got nothing"),
        ({}, {"a": []}, "spec.a: expected nothing, got []"),
        ({"a/b.c": 1}, {"a/b.c": 2}, "spec['a/b.c']: expected 1, got 2"),
        ({"a": [1, 2]}, {"a": [2, 1]}, "spec.a[0]: expected 1, got 2"),
        ({"a": [1]}, {"a": [1, 2]}, "spec.a[1]: expected nothing, got 2"),
        ({"a": {}}, {"a": []}, "spec.a: expected {}, got []"),
        (
            {"e": [{"name": "V", "value": 1}]},
            {"e": [{"name": "V", "value": 2}]},
            "spec.e[0 V].value: expected 1, got 2",
        ),
    ],
)
def test_a_difference_is_told_with_its_object_its_path_and_both_values(
    expected: object, actual: object, line: str
) -> None:
    assert compare([thing(expected)], [thing(actual)])[0] == f"{NAME}: {line}"


def test_equal_objects_in_another_order_are_equal() -> None:
    one, two = thing({"a": (1, 2), "b": 1.0}), thing({}, "z")
    assert compare([one, two], [two, thing({"b": 1, "a": [1, 2]})]) == []


def test_missing_unexpected_and_repeated_objects_are_told() -> None:
    assert compare([thing(1), thing(1, "z")], [thing(1), thing(1), thing(1, "w")]) == [
        f"{NAME}: stands 2 times",
        "v1 Thing z in y: missing",
        "v1 Thing w in y: not expected",
    ]


def test_the_same_name_in_another_namespace_is_another_object() -> None:
    moved = thing(1)
    moved["metadata"] = {"name": "x"}
    assert compare([thing(1)], [moved]) == [f"{NAME}: missing", "v1 Thing x: not expected"]
