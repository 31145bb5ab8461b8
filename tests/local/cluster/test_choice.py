import pytest

from local.cluster import Choice, Maker, choice
from local.errors import LocalError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, Choice(Maker.EMBEDDED)),
        ("", Choice(Maker.EMBEDDED)),
        ("embedded", Choice(Maker.EMBEDDED)),
        ("kind", Choice(Maker.KIND)),
        ("kind:my-fleet.1", Choice(Maker.KIND, "my-fleet.1")),
        ("context:arn:aws:eks:eu-west-1:1:cluster/dev", Choice(Maker.CONTEXT, "arn:aws:eks:eu-west-1:1:cluster/dev")),
    ],
)
def test_local_cluster_names_a_maker_and_perhaps_a_cluster(value: str | None, expected: Choice) -> None:
    assert choice(value) == expected


@pytest.mark.parametrize("value", ["context", "context:", "kind:", "kind:My_Fleet", "embedded:x", "minikube", "Kind"])
def test_anything_else_is_refused_with_what_is_allowed(value: str) -> None:
    with pytest.raises(LocalError) as told:
        choice(value)
    assert repr(value) in str(told.value)
    assert "context:NAME" in str(told.value)
