import pytest

from common.errors import CommandError
from local.cluster import Maker, Selection, selection


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, Selection(Maker.EMBEDDED)),
        ("", Selection(Maker.EMBEDDED)),
        ("embedded", Selection(Maker.EMBEDDED)),
        ("kind", Selection(Maker.KIND)),
        ("kind:my-fleet.1", Selection(Maker.KIND, "my-fleet.1")),
        (
            "context:arn:aws:eks:eu-west-1:1:cluster/dev",
            Selection(Maker.CONTEXT, "arn:aws:eks:eu-west-1:1:cluster/dev"),
        ),
    ],
)
def test_local_cluster_names_a_maker_and_perhaps_a_cluster(value: str | None, expected: Selection) -> None:
    assert selection(value) == expected


@pytest.mark.parametrize("value", ["context", "context:", "kind:", "kind:My_Fleet", "embedded:x", "minikube", "Kind"])
def test_anything_else_is_refused_with_what_is_allowed(value: str) -> None:
    with pytest.raises(CommandError) as raised:
        selection(value)
    assert repr(value) in str(raised.value)
    assert "context:NAME" in str(raised.value)
