import io
import time

import pytest

from common.progress import Progress


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
    out = io.StringIO()
    with Progress(out, heartbeat=0.01).step("building pulumi"):
        while "so far" not in out.getvalue():
            time.sleep(0.005)
    ended = out.getvalue()
    time.sleep(0.05)
    assert out.getvalue() == ended
