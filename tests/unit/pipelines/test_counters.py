from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.counters import Counters, advance

counters = st.builds(Counters, st.integers(0, 50), st.integers(0, 50))


@given(shown=counters, counted=counters)
def test_neither_counter_goes_back_and_no_item_is_shown_twice(shown: Counters, counted: Counters) -> None:
    after = advance(shown, counted)
    assert after.completed >= shown.completed
    assert after.failed >= shown.failed
    assert sum(after) == max(sum(shown), sum(counted))


@given(shown=counters, more=counters)
def test_what_only_grows_is_shown_exactly(shown: Counters, more: Counters) -> None:
    counted = Counters(shown.completed + more.completed, shown.failed + more.failed)
    assert advance(shown, counted) == counted
