from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.job import InputVersion
from pipelines.ndjson import split_lines
from pipelines.plan import Plan, make_plan
from pipelines.ranges import cut_ranges, read_lines_of
from pipelines.scan import RangeScan, estimate_tokens, scan_lines
from tests.unit.pipelines.strategies import input_bytes

VERSION = InputVersion(etag="e", size=1)


def plan_of(data: bytes, step: int) -> Plan:
    cuts = cut_ranges(len(data), min_bytes=step, max_bytes=step, wanted=1)
    scans = [
        scan_lines(
            read_lines_of(cut, len(data), lambda start, end: data[start:end]),
            first=cut.index == 0,
            samples=2,
            count_tokens=lambda texts: [1] * len(texts),
        )
        for cut in cuts
    ]
    return make_plan(VERSION, cuts, scans, "engine")


@given(data=input_bytes(), step=st.integers(1, 60))
def test_each_planned_range_holds_the_items_that_its_numbers_say(data: bytes, step: int) -> None:
    plan = plan_of(data, step)
    everything = list(split_lines(data, first=True))
    assert plan.items == len(everything)
    for planned in plan.ranges:
        lines = read_lines_of(planned.byte_range(), len(data), lambda start, end: data[start:end])
        owned = list(split_lines(lines, first=planned.index == 0))
        assert owned == everything[planned.first_item : planned.first_item + planned.items]
        assert owned


@given(data=input_bytes(), step=st.integers(1, 60))
def test_a_plan_is_in_file_order_without_gaps_in_its_items(data: bytes, step: int) -> None:
    ranges = plan_of(data, step).ranges
    assert [planned.index for planned in ranges] == sorted({planned.index for planned in ranges})
    assert [planned.first_item for planned in ranges] == [
        sum(earlier.items for earlier in ranges[:position]) for position in range(len(ranges))
    ]


def test_ranges_without_items_are_left_out_and_their_numbers_are_kept() -> None:
    scans = [RangeScan(items=count, tokens=count * 1.4, has_object=True) for count in (0, 2, 0, 0, 3, 0)]
    plan = make_plan(VERSION, cut_ranges(60, min_bytes=10, max_bytes=10, wanted=1), scans, "engine")
    assert [(planned.index, planned.first_item, planned.items) for planned in plan.ranges] == [(1, 0, 2), (4, 2, 3)]
    assert [(planned.start, planned.end) for planned in plan.ranges] == [(10, 20), (40, 50)]
    assert plan.estimated_tokens == estimate_tokens(scans) == 7


def test_a_plan_survives_being_stored() -> None:
    plan = plan_of(b'{"text":"a"}\n' * 20, 17)
    assert Plan.model_validate_json(plan.model_dump_json()) == plan
