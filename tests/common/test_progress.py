import io
import threading

import pytest

from common.progress import Progress
from tests.waiting import eventually


def test_a_step_announces_itself_with_its_usual_time_and_says_when_it_is_done() -> None:
    out = io.StringIO()
    with Progress(out).step("building pulumi", usual="3 min"):
        assert "building pulumi (usually 3 min)" in out.getvalue(), "a waiting person sees nothing until the end"
    assert "ok  building pulumi" in out.getvalue()


def test_a_step_that_fails_is_not_reported_as_done() -> None:
    out = io.StringIO()
    with pytest.raises(KeyboardInterrupt), Progress(out).step("building pulumi"):
        raise KeyboardInterrupt
    assert "ok" not in out.getvalue()
    assert "building pulumi: not finished" in out.getvalue()


def test_a_long_step_gives_signs_of_life_and_none_after_its_end() -> None:
    out, before = io.StringIO(), set(threading.enumerate())
    with Progress(out, heartbeat=0.01).step("building pulumi"):
        eventually(lambda: "so far" in out.getvalue(), expected=True, pause=0.005)
    assert set(threading.enumerate()) <= before, "a thread is left that may write after the end"
    assert "ok  building pulumi" in out.getvalue().splitlines()[-1]
