from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serve_app.rate_limit import RequestLimit


def test_a_minutes_requests_may_come_at_once_and_not_one_more() -> None:
    limit = RequestLimit(60)
    taken = [limit.take("a", 100.25) for _ in range(62)]
    assert [each.allowed for each in taken] == [True] * 60 + [False] * 2
    assert [each.remaining for each in taken] == [*range(59, -1, -1), 0, 0]
    assert {each.limit for each in taken} == {60}
    assert {each.reset_seconds for each in taken} == {60.75}
    assert taken[61].retry_seconds == 60.75


def test_the_wait_that_is_told_is_long_enough_and_a_refused_request_does_not_lengthen_it() -> None:
    limit = RequestLimit(7)
    for second in range(7):
        limit.take("a", float(second))
    refused = [limit.take("a", 10.5) for _ in range(100)][-1]
    assert not refused.allowed
    assert not limit.take("a", 10.5 + refused.retry_seconds - 0.01).allowed
    assert limit.take("a", 10.5 + refused.retry_seconds).allowed
    assert not limit.take("a", 10.5 + refused.retry_seconds).allowed


def test_each_name_has_its_own_limit() -> None:
    limit = RequestLimit(1)
    assert limit.take("a", 0.0).allowed
    assert not limit.take("a", 0.0).allowed
    assert limit.take("b", 0.0).allowed


@given(
    a_minute=st.integers(1, 100),
    shares=st.integers(1, 5),
    gaps=st.lists(st.floats(0, 30, allow_nan=False), max_size=100),
)
def test_no_sixty_seconds_let_more_through_than_the_limit(a_minute: int, shares: int, gaps: list[float]) -> None:
    limits = [RequestLimit(a_minute, shares) for _ in range(shares)]
    now = 1_000.0
    allowed: list[float] = []
    for number, gap in enumerate(gaps):
        now += gap
        for _ in range(20):
            found = limits[number % shares].take("a", now)
            allowed += [now] * found.allowed
            assert 0 <= found.remaining <= a_minute
            assert found.allowed == (found.retry_seconds == 0)
            assert 0 <= found.reset_seconds <= 61
    # A replica allows one at least.
    for begin in allowed:
        assert sum(begin <= moment < begin + 60 for moment in allowed) <= max(a_minute, shares)


def test_requests_that_are_spread_evenly_meet_the_limit_at_nearly_all_of_it() -> None:
    limit = RequestLimit(3000)
    assert all(limit.take("a", 0.0205 * number).allowed for number in range(20_000))


def test_after_a_minute_of_silence_everything_is_there_again() -> None:
    limit = RequestLimit(3)
    for _ in range(9):
        limit.take("a", 5.0)
    assert [limit.take("a", 66.0).remaining for _ in range(3)] == [2, 1, 0]


def test_replicas_share_the_limit_and_each_tells_the_whole() -> None:
    halves = [RequestLimit(10, shares=2) for _ in range(2)]
    taken = [half.take("a", 0.0) for _ in range(6) for half in halves]
    assert sum(each.allowed for each in taken) == 10
    assert taken[0].limit == 10
    assert taken[0].remaining == 8


def test_names_that_are_idle_are_forgotten() -> None:
    limit = RequestLimit(60)
    for number in range(1_000):
        limit.take(str(number), float(number))
    assert len(limit._counted) < 70
