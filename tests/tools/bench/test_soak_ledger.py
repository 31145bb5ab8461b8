"""What a soak counts: lost, doubled and overlapping runs, and how long a disturbed task waits for its next start."""

from pathlib import Path

import pytest

from tools.bench.runtime.soak.ledger import Disturbance, Ledger


def ledger(tmp_path: Path, *lines: str) -> Ledger:
    file = tmp_path / "ledger"
    file.write_text("".join(f"{line}\n" for line in lines))
    found = Ledger(file)
    found.read()
    return found


def test_a_run_that_went_on_beside_the_next_one_overlaps_for_that_long(tmp_path: Path) -> None:
    found = ledger(tmp_path, "start 0 10 1 1.0", "start 0 20 2 2.0", "mark 0 10 1 2.5", "end 0 20 2 3.0")
    assert [overlap.seconds for overlap in found.overlaps()] == [0.5]


def test_a_run_that_was_silent_before_the_next_one_does_not_overlap(tmp_path: Path) -> None:
    found = ledger(tmp_path, "start 0 10 1 1.0", "mark 0 10 1 1.9", "start 0 20 2 2.0", "end 0 20 2 3.0")
    assert found.overlaps() == []


def test_what_never_ended_is_lost_and_what_ended_twice_doubled(tmp_path: Path) -> None:
    found = ledger(
        tmp_path, "start 0 10 1 1.0", "start 1 11 1 1.0", "end 1 11 1 2.0", "start 1 12 1 3.0", "end 1 12 1 4.0"
    )
    assert found.lost(3) == [0, 2]
    assert found.doubled() == [1]


def test_a_line_that_is_not_whole_yet_is_read_later(tmp_path: Path) -> None:
    found = ledger(tmp_path, "start 0 10 1 1.0")
    with found.file.open("a") as file:
        file.write("end 0 10 1")
        file.flush()
        found.read()
        assert not found.ended
        file.write(" 2.0\n")
        file.flush()
        found.read()
    assert found.ended == {0}


@pytest.mark.parametrize(
    ("disturbances", "expected"),
    [
        ([Disturbance("kill", 1, 1.5)], {"kill": [4.5]}),
        ([Disturbance("kill", 2, 1.5)], {}),
        ([Disturbance("restart", None, 1.5)], {"restart": [4.5]}),
        ([Disturbance("stop", 1, 1.0), Disturbance("kill", 1, 5.0)], {"kill": [1.0]}),
        ([Disturbance("kill", 1, 7.0)], {}),
    ],
)
def test_the_wait_for_the_next_start_counts_from_what_was_done_to_the_worker(
    tmp_path: Path, disturbances: list[Disturbance], expected: dict[str, list[float]]
) -> None:
    found = ledger(tmp_path, "start 0 10 1 1.0", "start 0 20 2 6.0", "end 0 20 2 7.0")
    assert found.waits(disturbances) == expected
