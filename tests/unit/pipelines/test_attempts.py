"""Finding the text that kills its process."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.attempts import Attempt, RangeAttempts, Span
from pipelines.settings import Settings


def survives(attempt: Attempt, attempts: RangeAttempts, texts: int, deadly: set[int]) -> bool:
    """Goes through a range as a classifier does; a deadly text ends it."""
    for span in attempt.groups(texts):
        if attempt.careful:
            attempts.working_on(span)
        if deadly & set(range(*span)):
            return False
    return True


def answered(attempt: Attempt, texts: int) -> set[int]:
    return {number for span in attempt.groups(texts) for number in range(*span)}


@given(texts=st.integers(1, 5000), data=st.data())
def test_every_text_but_the_deadly_one_is_answered_within_seven_attempts(texts: int, data: st.DataObject) -> None:
    deadly = {data.draw(st.integers(0, texts - 1))}
    attempts = RangeAttempts(12)
    for _ in range(7):
        attempt = attempts.begin()
        if survives(attempt, attempts, texts, deadly):
            break
    assert answered(attempt, texts) == set(range(texts)) - deadly
    assert not attempt.hopeless


@given(texts=st.integers(2, 4096), data=st.data())
def test_three_deadly_texts_are_each_found_within_the_attempts_that_a_range_has(
    texts: int, data: st.DataObject
) -> None:
    deadly = data.draw(st.sets(st.integers(0, texts - 1), min_size=2, max_size=3))
    attempts = RangeAttempts(Settings().range_attempts)
    for _ in range(Settings().range_attempts):
        attempt = attempts.begin()
        if survives(attempt, attempts, texts, deadly):
            break
    assert answered(attempt, texts) == set(range(texts)) - deadly


def test_a_range_that_dies_whatever_is_left_out_is_given_up() -> None:
    attempts = RangeAttempts(12)
    begun = [attempts.begin() for _ in range(14)]
    assert [attempt.hopeless for attempt in begun] == [False] * 13 + [True]


@given(texts=st.integers(4, 64), data=st.data())
def test_kills_that_are_not_the_texts_fault_condemn_none_of_them(texts: int, data: st.DataObject) -> None:
    """Two deaths while nothing is suspected, then others, each over another text."""
    attempts = RangeAttempts(12)
    attempts.begin()
    attempts.begin()
    for number in data.draw(st.lists(st.integers(0, texts - 1), unique=True, max_size=8)):
        attempt = attempts.begin()
        assert (number, number + 1) in attempt.groups(texts)
        attempts.working_on((number, number + 1))
    assert answered(attempts.begin(), texts) == set(range(texts))


def test_a_text_is_condemned_by_the_second_death_over_it_alone() -> None:
    attempts = RangeAttempts(12)
    attempts.begin()
    attempts.begin()
    condemned = []
    for _ in range(3):
        condemned.append(attempts.begin().condemned)
        attempts.working_on((5, 6))
    assert condemned == [(), (), ((5, 6),)]


def test_a_range_whose_result_was_lost_is_done_again_without_suspecting_its_texts() -> None:
    attempts = RangeAttempts(12)
    numbers = []
    for _ in range(20):
        attempt = attempts.begin()
        numbers.append(attempt.number)
        attempts.working_on((99, 100))
        attempts.finished()
        assert (attempt.careful, attempt.suspects, attempt.condemned, attempt.hopeless) == (False, None, (), False)
    assert numbers == sorted(set(numbers))


def test_the_first_two_attempts_suspect_nothing() -> None:
    attempts = RangeAttempts(12)
    for _ in range(2):
        assert attempts.begin().groups(100) == [(0, 100)]


def test_a_range_without_texts_has_no_groups() -> None:
    assert Attempt(1).groups(0) == Attempt(3, careful=True).groups(0) == []


@given(
    texts=st.integers(0, 300),
    spans=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)).map(lambda ends: (min(ends), max(ends)))),
)
def test_groups_never_overlap_and_never_hold_a_condemned_text(texts: int, spans: list[Span]) -> None:
    groups = Attempt(5, careful=True, condemned=tuple(spans)).groups(texts)
    numbers = [number for span in groups for number in range(*span)]
    assert numbers == sorted(set(numbers))
    assert set(numbers) == set(range(texts)) - {number for span in spans for number in range(*span)}
