"""A message of failure ends with what the program said last."""

from common.tail import tail

SAID = "\nfirst\n\nsecond\nthird\n\n\n"


def test_the_last_lines_are_kept_whatever_blank_ones_follow() -> None:
    assert tail(SAID, 2) == "second\nthird"


def test_all_is_kept_where_there_is_no_more_than_was_asked_for() -> None:
    assert tail(SAID, 9) == "first\n\nsecond\nthird"


def test_each_line_is_indented() -> None:
    assert tail(SAID, 2, indent="  ") == "  second\n  third"


def test_a_silent_program_adds_nothing() -> None:
    assert tail("\n", 5, indent="  ") == ""
