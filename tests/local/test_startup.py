"""Parts of a start that run side by side: the first failure ends the others."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from common.errors import CommandError
from local.builder import Builder
from local.startup import _all_done, check_python
from tests.waiting import PATIENCE


def test_the_first_failure_cancels_the_others_and_is_the_only_one_that_is_told() -> None:
    cancelled = threading.Event()

    def fails() -> None:
        raise CommandError("redis cannot be had")

    def long() -> None:
        assert cancelled.wait(PATIENCE)
        raise CommandError("the build was ended")

    with ThreadPoolExecutor(2) as pool, pytest.raises(CommandError, match="redis cannot be had"):
        _all_done([pool.submit(long), pool.submit(fails)], cancelled.set)


def test_nothing_is_cancelled_when_all_went_well() -> None:
    calls: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        parts: list[Future[None]] = [pool.submit(time.sleep, 0.0), pool.submit(time.sleep, 0.01)]
        _all_done(parts, lambda: calls.append("cancelled"))
    assert calls == []


@pytest.mark.parametrize(
    ("stands_in", "wanted", "refused"), [(True, "3.14", True), (True, "3.13", False), (False, "3.14", False)]
)
def test_the_stand_in_base_is_refused_for_a_python_that_it_has_not(stands_in: bool, wanted: str, refused: bool) -> None:
    contexts = {"base": "oci-layout:///base@sha256:0"} if stands_in else {}
    builder = Builder("b", "unix:///b", contexts, ("linux/amd64",), {})
    if refused:
        with pytest.raises(CommandError, match=r"fleet:images\.python is 3\.14"):
            check_python(builder, wanted)
    else:
        check_python(builder, wanted)
