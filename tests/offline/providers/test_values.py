"""Values through the engine's encoding."""

from hypothesis import given, settings
from hypothesis import strategies as st

from offline.providers.values import SECRET, SIGNATURE, UNKNOWN, Json, Secrets, decode, encode, has_unknown

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=8), JSON, max_size=3))
def test_what_goes_through_the_encoding_comes_back_the_same(value: Json) -> None:
    assert decode(encode(value)) == (value, Secrets())


def wrapped(value: Json) -> Json:
    return {SIGNATURE: SECRET, "value": value}


def test_a_secret_is_read_in_the_clear_and_wrapped_again_in_its_place() -> None:
    struct = encode({"data": {"password": wrapped("pw"), "user": "me"}})
    plain, secrets = decode(struct)
    assert plain == {"data": {"password": "pw", "user": "me"}}
    assert encode(plain, secrets) == struct


def test_a_secret_that_the_server_moved_is_still_wrapped() -> None:
    _, secrets = decode(encode({"env": [{"value": wrapped("pw")}, {"value": "plain"}]}))
    moved = encode({"env": [{"value": "plain"}, {"value": "new"}, {"value": "pw"}], "copy": "pw"}, secrets)
    assert moved.fields["copy"].struct_value.fields[SIGNATURE].string_value == SECRET
    third = moved.fields["env"].list_value.values[2].struct_value.fields["value"]
    assert third.struct_value.fields["value"].string_value == "pw", "a reordered list lays a secret bare in the state"


def test_a_whole_secret_object_hides_all_of_its_texts() -> None:
    plain, secrets = decode(encode({"data": wrapped({"a": "x", "b": ["y"]})}))
    assert plain == {"data": {"a": "x", "b": ["y"]}}
    assert secrets.texts == {"x", "y"}
    assert secrets.paths == {("data",)}


def test_an_unknown_deep_inside_is_found_and_is_no_secret_text() -> None:
    plain, secrets = decode(encode({"a": [{"b": UNKNOWN}], "s": wrapped(UNKNOWN)}))
    assert has_unknown(plain)
    assert not has_unknown({"a": [1, "x", None]})
    assert secrets.texts == frozenset(), "every unknown of the resource would become a secret"
