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
