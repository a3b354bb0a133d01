from __future__ import annotations

import io

import pytest

from labelworks.progress import CountedReads, Progress, duration, megabytes, shown_progress


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.4, "0 s"), (59, "59 s"), (200, "3 min 20 s"), (3599.9, "1 h 00 min"), (7500, "2 h 05 min")],
)
def test_durations_are_for_people(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_amounts_are_for_people() -> None:
    assert Progress("classifying", 1200, 5000, "rows", 60, 63).amounts() == "1,200 / 5,000 rows"
    assert Progress("scanning", 0, None, "rows").amounts() == "counting rows"
    assert Progress("upload", 2_500_000, 5_000_000, "bytes").amounts() == "2.5 MB / 5.0 MB"
    assert megabytes(1500) == "1.5 kB"


def test_pace_tells_rate_and_time_left() -> None:
    assert Progress("classifying", 1, 5, "rows", 1234.5, 63).pace() == "1,234 rows/s, 1 min 03 s left"
    assert Progress("queued", 0, None, "rows").pace() == ""


def test_without_a_terminal_each_stage_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress() as show:
        assert show is not None
        for done in (0, 1, 2):
            show(Progress("classifying", done, 3, "rows"))
        show(Progress("completed", 3, 3, "rows"))
    assert capsys.readouterr().err == "classifying: 0 / 3 rows\ncompleted: 3 / 3 rows\n"


def test_nothing_is_shown_where_nobody_looks_on() -> None:
    with shown_progress(only_interactive=True) as show:
        assert show is None


def test_counted_reads_begin_anew_when_the_file_does() -> None:
    states: list[Progress] = []
    file = CountedReads(io.BytesIO(b"12345"), 5, states.append)
    for _ in range(2):
        file.seek(0)
        while file.read(2):
            pass
    assert [(state.done, state.total) for state in states] == [(5, 5), (5, 5)]
