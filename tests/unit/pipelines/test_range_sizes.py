from __future__ import annotations

from models.task import ClassificationTask
from pipelines.job import JobConfig
from pipelines.range_sizes import bounded_range_bytes, least_range_bytes, number_of_ranges, ranges_of
from pipelines.settings import Settings

MIB = 1024 * 1024


def test_ranges_of_fast_engines_are_larger_where_they_are_fast() -> None:
    settings = Settings(range_min_bytes=1_000, range_max_bytes=20_000)
    assert least_range_bytes(settings, "minilm") == least_range_bytes(settings, "no.such.module") == 1_000
    assert least_range_bytes(settings, "static") == 20_000
    assert least_range_bytes(settings, "embedding") == 1_000
    on_gpus = settings.model_copy(update={"classifier_gpus": 1})
    assert least_range_bytes(on_gpus, "embedding") == 16_000


def test_ranges_are_smaller_where_every_line_may_be_answered_with_very_many_labels() -> None:
    many = tuple(f"label {number:04d}" for number in range(1_000))
    assert bounded_range_bytes(ClassificationTask(labels=many)) == 64 * MIB
    assert bounded_range_bytes(ClassificationTask(labels=many, mode="multi")) < MIB / 8
    few = number_of_ranges(64 * MIB, Settings(ranges_per_job=1), JobConfig(labels=many, model="minilm"))
    more = number_of_ranges(64 * MIB, Settings(ranges_per_job=1), JobConfig(labels=many, mode="multi", model="minilm"))
    assert (few, more) == (8, 813)


def test_as_many_ranges_are_counted_as_are_made() -> None:
    config = JobConfig(labels=("a", "b"), model="static")
    for size in (0, 1, MIB, 300 * MIB + 1):
        assert len(ranges_of(size, Settings(), config)) == number_of_ranges(size, Settings(), config)
