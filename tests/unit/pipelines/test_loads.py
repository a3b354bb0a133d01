"""Counting the deaths of processes that load an engine."""

from __future__ import annotations

from pipelines.loads import EngineLoads


def test_each_load_that_was_not_ended_before_the_next_is_a_death() -> None:
    loads = EngineLoads()
    assert [loads.begin("one") for _ in range(4)] == [0, 1, 2, 3]


def test_a_load_that_ended_makes_up_for_the_deaths_before_it() -> None:
    loads = EngineLoads()
    loads.begin("one")
    assert loads.begin("one") == 1
    loads.ended("one")
    assert [loads.begin("one") for _ in range(2)] == [0, 1]


def test_classifiers_that_load_at_the_same_time_are_not_taken_for_each_others_deaths() -> None:
    loads = EngineLoads()
    assert [loads.begin(name) for name in ("one", "two", "three", "four")] == [0, 0, 0, 0]
    loads.ended("two")
    assert [loads.begin(name) for name in ("one", "two", "three")] == [1, 0, 1]
