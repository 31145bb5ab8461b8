"""What differs between two sets of inputs."""

import pytest

from offline.providers.diff import DiffKind, diff_of, property_diffs, property_path
from offline.providers.values import Json


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": None}, {}, []),
        ({"a": 1}, {"a": 2}, [("a", DiffKind.UPDATE)]),
        ({"a": 1}, {"a": "1"}, [("a", DiffKind.UPDATE)]),
        ({"a": 1}, {"a": True}, [("a", DiffKind.UPDATE)]),
        ({"a": 1}, {"a": 1.0}, []),
        ({}, {"a": {"b": 1}}, [("a", DiffKind.ADD)]),
        ({"a": {"b": 1}}, {}, [("a", DiffKind.DELETE)]),
        ({"a": [1, 2]}, {"a": [1]}, [("a[1]", DiffKind.DELETE)]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}, 3]}, [("a[0].b", DiffKind.UPDATE), ("a[1]", DiffKind.ADD)]),
    ],
)
def test_each_property_that_differs_is_named_once_with_how(old: Json, new: Json, expected: Json) -> None:
    assert [(change.property_path, change.kind) for change in property_diffs(old, new)] == expected


def test_a_key_with_a_dot_is_quoted_or_the_engine_reads_it_as_two() -> None:
    path = ("metadata", "labels", "app.kubernetes.io/name")
    assert property_path(path) == 'metadata.labels["app.kubernetes.io/name"]'


def test_the_old_object_is_deleted_first_only_where_something_is_replaced() -> None:
    changes = property_diffs({"a": 1}, {"a": 2})
    assert not diff_of(changes, lambda _: False, delete_before_replace=True).delete_before_replace
    assert diff_of(changes, lambda _: True, delete_before_replace=True).delete_before_replace
