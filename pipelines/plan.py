"""A job's plan: which version of the input it reads, with which engine, in which ranges. Stored as ``plan.json``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from pydantic import BaseModel, ConfigDict

from pipelines.job import InputVersion
from pipelines.ranges import ByteRange
from pipelines.scan import RangeScan, estimate_tokens


class PlannedRange(BaseModel):
    """A range of the input's bytes, the number of its first item (from 0) and how many items it holds."""

    model_config = ConfigDict(frozen=True)

    index: int
    start: int
    end: int
    first_item: int
    items: int

    def byte_range(self) -> ByteRange:
        return ByteRange(self.index, self.start, self.end)


class Plan(BaseModel):
    """Ranges in file order; ranges without items are left out. ``engine`` is the fingerprint of what answers them."""

    model_config = ConfigDict(frozen=True)

    input: InputVersion
    ranges: tuple[PlannedRange, ...]
    estimated_tokens: int
    engine: str = ""

    @property
    def items(self) -> int:
        return sum(planned.items for planned in self.ranges)


def make_plan(version: InputVersion, ranges: Sequence[ByteRange], scans: Sequence[RangeScan], engine: str) -> Plan:
    """Number the items through all ranges."""
    first_items = accumulate((scan.items for scan in scans), initial=0)
    return Plan(
        input=version,
        ranges=tuple(
            PlannedRange(index=cut.index, start=cut.start, end=cut.end, first_item=first_item, items=scan.items)
            for cut, scan, first_item in zip(ranges, scans, first_items, strict=False)
            if scan.items
        ),
        estimated_tokens=estimate_tokens(scans),
        engine=engine,
    )
