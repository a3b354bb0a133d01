"""How large a job's ranges are, and so how many there are. Needs no Ray."""

from __future__ import annotations

import json

from models.registry import relative_speed, uses_gpu
from models.task import ClassificationTask
from pipelines.engines import runs_on_gpu
from pipelines.job import JobConfig
from pipelines.ranges import ByteRange, count_ranges, cut_ranges
from pipelines.settings import Settings

# What one range's result lines may take on disk, and how long input lines are expected to be on average at least. The
# results of the shortest lines that can be classified take five times as much.
_RESULT_BYTES = 64 * 1024 * 1024
_SHORT_LINE_BYTES = 64
_SCORED_LABEL_BYTES = 40


def ranges_of(size: int, settings: Settings, config: JobConfig) -> list[ByteRange]:
    """The ranges that an input of ``size`` bytes is cut into."""
    return cut_ranges(size, **_range_sizes(settings, config))


def number_of_ranges(size: int, settings: Settings, config: JobConfig) -> int:
    """How many ranges an input of ``size`` bytes is cut into: no more classifiers can work on it."""
    return count_ranges(size, **_range_sizes(settings, config))


def least_range_bytes(settings: Settings, model: str) -> int:
    """How small a range may be: the setting, which is for the default engine, times how much faster this one is. Every
    range costs some tenth of a second beside its texts, which would otherwise be most of a fast engine's job.
    """
    speed = 1 if uses_gpu(model) and not runs_on_gpu(settings, model) else relative_speed(model)
    return min(settings.range_min_bytes * speed, settings.range_max_bytes)


def bounded_range_bytes(task: ClassificationTask) -> int:
    """How large a range may be so that its result lines stay in bounds even where every label passes the threshold,
    unless the input's lines are very short.
    """
    if task.mode == "single":
        return _RESULT_BYTES
    line = sum(len(json.dumps(label, ensure_ascii=False).encode()) + _SCORED_LABEL_BYTES for label in task.labels)
    return max(_RESULT_BYTES * _SHORT_LINE_BYTES // line, _SHORT_LINE_BYTES)


def _range_sizes(settings: Settings, config: JobConfig) -> dict[str, int]:
    return {
        "min_bytes": least_range_bytes(settings, config.model),
        "max_bytes": min(settings.range_max_bytes, bounded_range_bytes(config.task())),
        "wanted": settings.ranges_per_job,
    }
