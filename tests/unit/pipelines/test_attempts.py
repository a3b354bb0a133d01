"""Finding the text that kills its process."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.attempts import Attempt, RangeAttempts, Span


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


@given(texts=st.integers(2, 400), data=st.data())
def test_several_deadly_texts_are_each_found(texts: int, data: st.DataObject) -> None:
    deadly = data.draw(st.sets(st.integers(0, texts - 1), min_size=2, max_size=3))
    attempts = RangeAttempts(12)
    for _ in range(12):
        attempt = attempts.begin()
        if survives(attempt, attempts, texts, deadly):
            break
    assert answered(attempt, texts) == set(range(texts)) - deadly


def test_a_range_that_dies_whatever_is_left_out_is_given_up() -> None:
    attempts = RangeAttempts(12)
    begun = [attempts.begin() for _ in range(14)]
    assert [attempt.hopeless for attempt in begun] == [False] * 13 + [True]


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
