import json
import time
from pathlib import Path

import pytest

from common.answer_cache import AnswerCache


class Host:
    def __init__(self, *answers: bool) -> None:
        self.answers = list(answers)

    def ask(self) -> bool:
        return self.answers.pop(0)


def test_each_host_is_asked_once(tmp_path: Path) -> None:
    file = tmp_path / "state" / "answers.json"
    one, two = Host(True), Host(False)
    for _ in range(3):
        assert AnswerCache(file).reachable("one", one.ask)
        assert not AnswerCache(file).reachable("two", two.ask)
    assert not one.answers + two.answers


def test_an_answer_is_forgotten_after_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = AnswerCache(tmp_path / "answers.json")
    answers.put("host", reachable=False)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 86_390)
    assert answers.get("host") is False
    monkeypatch.setattr(time, "time", lambda: now + 86_401)
    assert answers.get("host") is None, "a machine that is online again would never notice"


@pytest.mark.parametrize(
    "kept",
    ["", "[]", "{}", '{"host": 1}', '{"host": {"reachable": "no"}}', json.dumps({"host": {"asked": 1e12}}), "\\x00"],
)
def test_what_cannot_be_read_is_asked_for_anew_and_overwritten(tmp_path: Path, kept: str) -> None:
    answers = AnswerCache(tmp_path / "answers.json")
    answers.file.write_text(kept)
    assert answers.reachable("host", lambda: True)
    assert answers.reachable("host", lambda: False)


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    AnswerCache(tmp_path / "answers.json").put("host", reachable=True)
    assert (tmp_path / "answers.json").stat().st_mode & 0o077 == 0
