"""Rules of Kubernetes' validation: what the server takes is accepted, what it refuses is refused by its key.

That the server says the same of each object is tried in tests/engine/test_pod_options.py.
"""

import pytest

from config.kubernetes_fields import field_errors
from tests.kubernetes_values import Case, cases


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_an_object_is_refused_where_kubernetes_refuses_it(case: Case) -> None:
    errors = list(field_errors("pod", "PodSpec", case.spec))
    assert bool(errors) is case.refused, errors
    assert len(errors) <= 1, "one fault is said twice"


def test_a_comparison_that_no_scheduler_can_make_is_refused() -> None:
    """The server takes it, and the pod finds no node."""
    requirement = {"key": "cores", "operator": "Gt", "values": ["many"]}
    required = {"nodeSelectorTerms": [{"matchExpressions": [requirement]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    (error,) = field_errors("affinity", "Affinity", affinity)
    assert "takes one whole number" in error.text
