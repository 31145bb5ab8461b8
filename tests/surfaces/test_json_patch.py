"""A patch makes exactly the other object, whatever the two are."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surfaces.json_patch import Change, diff

SCALARS = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "0", "true", "a"])
NAMED = st.fixed_dictionaries({"name": st.sampled_from("abcd")}, optional={"value": SCALARS})
ITEMS = st.lists(NAMED, max_size=4) | st.lists(SCALARS, max_size=4)
OBJECTS = st.dictionaries(
    st.sampled_from(["a", "b/c", "d~e"]),
    st.recursive(
        SCALARS | ITEMS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xy"), inner)
    ),
)


def apply(document: Any, found: tuple[Change, ...]) -> Any:  # noqa: ANN401 any plain data
    """RFC 6902, as far as the patches use it."""
    document = copy.deepcopy(document)
    for operation in (operation for change in found for operation in change):
        *parents, last = [step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")[1:]]
        place = document
        for step in parents:
            place = place[int(step) if isinstance(place, list) else step]
        key: Any = int(last) if isinstance(place, list) else last
        if operation["op"] == "test":
            assert place[key] == operation["value"]
        elif operation["op"] == "remove":
            del place[key]
        elif operation["op"] == "add" and isinstance(place, list):
            assert 0 <= key <= len(place)
            place.insert(key, operation["value"])
        else:
            assert operation["op"] == "add" or (key in place if isinstance(place, dict) else key < len(place))
            place[key] = operation["value"]
    return document


LISTS = {"numbers": st.lists(st.integers(0, 5), max_size=6), "names": st.lists(NAMED, max_size=6)}


@given(OBJECTS, OBJECTS)
def test_a_patch_leads_from_any_object_to_any_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert_leads(before, after)


@given(st.fixed_dictionaries(LISTS), st.fixed_dictionaries(LISTS))
def test_a_patch_leads_from_any_list_to_any_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert_leads(before, after)


@pytest.mark.parametrize(
    ("before", "after"), [("abcd", ""), ("abcd", "ad"), ("ad", "abcd"), ("abcd", "dxa"), ("a", "b")]
)
@pytest.mark.parametrize("named", [True, False])
def test_a_patch_keeps_its_indices_straight(before: str, after: str, *, named: bool) -> None:
    """The cases that chance may take long to find: several removals, several insertions, a new order."""
    one, other = ([{"name": letter} if named else letter for letter in letters] for letters in (before, after))
    assert_leads({"list": one}, {"list": other})


def assert_leads(before: dict[str, Any], after: dict[str, Any]) -> None:
    found = diff(before, after)
    result = apply(before, found.in_place + found.resizing)
    assert repr(_sorted(result)) == repr(_sorted(after)), "types count: True is not 1"


@given(OBJECTS)
def test_equal_objects_need_no_patch(found: dict[str, Any]) -> None:
    assert not diff(found, copy.deepcopy(found))


@given(OBJECTS, OBJECTS)
def test_changes_in_place_may_come_in_any_order(before: dict[str, Any], after: dict[str, Any]) -> None:
    found = diff(before, after)
    assert apply(before, found.in_place) == apply(before, found.in_place[::-1])


def test_a_changed_variable_is_named_before_it_is_replaced() -> None:
    before = {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}]}
    after = {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}
    assert diff(before, after).in_place == (
        ({"op": "test", "path": "/env/1/name", "value": "B"}, {"op": "replace", "path": "/env/1/value", "value": "2"}),
    )


@pytest.mark.parametrize(("before", "after"), [("1", 1), (1, True), (0, False), ("true", True)])
def test_a_change_of_type_is_a_change(before: object, after: object) -> None:
    assert diff({"a": before}, {"a": after}).in_place == (({"op": "replace", "path": "/a", "value": after},),)


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
