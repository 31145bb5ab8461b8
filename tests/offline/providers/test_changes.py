"""What differs between two sets of inputs."""

import pytest

from offline.providers.changes import Kind, changes, place, verdict
from offline.providers.values import Json


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": None}, {}, []),
        ({"a": 1}, {"a": 2}, [("a", Kind.UPDATE)]),
        ({"a": 1}, {"a": "1"}, [("a", Kind.UPDATE)]),
        ({"a": 1}, {"a": True}, [("a", Kind.UPDATE)]),
        ({"a": 1}, {"a": 1.0}, []),
        ({}, {"a": {"b": 1}}, [("a", Kind.ADD)]),
        ({"a": {"b": 1}}, {}, [("a", Kind.DELETE)]),
        ({"a": [1, 2]}, {"a": [1]}, [("a[1]", Kind.DELETE)]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}, 3]}, [("a[0].b", Kind.UPDATE), ("a[1]", Kind.ADD)]),
    ],
)
def test_each_place_that_differs_is_told_once_with_how(old: Json, new: Json, expected: Json) -> None:
    assert [(change.place, change.kind) for change in changes(old, new)] == expected


def test_a_key_with_a_dot_is_quoted_or_the_engine_reads_it_as_two() -> None:
    assert place(("metadata", "labels", "app.kubernetes.io/name")) == 'metadata.labels["app.kubernetes.io/name"]'


def test_deletion_comes_first_only_where_something_is_replaced() -> None:
    found = changes({"a": 1}, {"a": 2})
    assert not verdict(found, lambda _: False, delete_first=True).delete_first
    assert verdict(found, lambda _: True, delete_first=True).delete_first
