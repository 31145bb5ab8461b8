import pytest

from common.errors import CommandError
from local.cluster import ClusterType, Selection, selection


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, Selection(ClusterType.EMBEDDED)),
        ("", Selection(ClusterType.EMBEDDED)),
        ("embedded", Selection(ClusterType.EMBEDDED)),
        ("kind", Selection(ClusterType.KIND)),
        ("kind:my-fleet.1", Selection(ClusterType.KIND, "my-fleet.1")),
        (
            "context:arn:aws:eks:eu-west-1:1:cluster/dev",
            Selection(ClusterType.CONTEXT, "arn:aws:eks:eu-west-1:1:cluster/dev"),
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
