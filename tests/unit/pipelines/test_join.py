from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines import join
from pipelines.join import MAX_PARTS, MIN_PART_BYTES, Shard, plan_join

MIB = 1024 * 1024
sizes = st.lists(
    st.one_of(st.integers(1, 40 * MIB), st.sampled_from([1, MIN_PART_BYTES - 1, MIN_PART_BYTES, MIN_PART_BYTES + 1])),
    max_size=60,
)


def shards_of(found: list[int]) -> list[Shard]:
    return [Shard(f"shards/{index:05d}", size, f"etag-{index}") for index, size in enumerate(found)]


@given(found=sizes)
@example(found=[MIN_PART_BYTES])
@example(found=[MIN_PART_BYTES - 1, 1, MIN_PART_BYTES - 1])
def test_parts_keep_every_shard_in_order(found: list[int]) -> None:
    shards = shards_of(found)
    assert [shard for part in plan_join(shards) for shard in part.shards] == shards


@given(found=sizes)
def test_every_part_but_the_last_is_as_large_as_s3_wants_it(found: list[int]) -> None:
    parts = plan_join(shards_of(found))
    assert all(sum(shard.size for shard in part.shards) >= MIN_PART_BYTES == 5 * MIB for part in parts[:-1])


@given(found=sizes)
def test_what_is_read_into_memory_for_a_part_is_bounded(found: list[int]) -> None:
    for part in plan_join(shards_of(found)):
        small = part.shards[:-1]
        assert sum(shard.size for shard in small) < MIN_PART_BYTES


@given(found=sizes)
def test_a_large_shard_that_stands_alone_is_copied_inside_the_storage(found: list[int]) -> None:
    for part in plan_join(shards_of(found)):
        assert part.copied == (len(part.shards) == 1 and part.shards[0].size >= 5 * MIB)


def test_small_shards_share_a_part_and_the_rest_makes_a_small_last_one() -> None:
    parts = plan_join(shards_of([2 * MIB, 2 * MIB, 2 * MIB, 6 * MIB, 1]))
    assert [[shard.size for shard in part.shards] for part in parts] == [
        [2 * MIB, 2 * MIB, 2 * MIB],
        [6 * MIB],
        [1],
    ]
    assert [part.copied for part in parts] == [False, True, False]


def test_as_many_large_shards_as_s3_takes_parts_are_all_copied() -> None:
    parts = plan_join(shards_of([MIN_PART_BYTES] * MAX_PARTS))
    assert len(parts) == MAX_PARTS == 10_000
    assert all(part.copied for part in parts)


@pytest.mark.parametrize("sizes", [[MIN_PART_BYTES], [1, MIN_PART_BYTES], [MIN_PART_BYTES, 64 * MIB, 2 * MIB]], ids=str)
@pytest.mark.parametrize("count", [MAX_PARTS + 1, 2 * MAX_PARTS + 1, 110_000])
def test_more_large_shards_than_s3_takes_parts_share_parts_of_like_sizes(sizes: list[int], count: int) -> None:
    shards = shards_of((sizes * count)[: count * len(sizes)])
    parts = plan_join(shards)
    assert [shard for part in parts for shard in part.shards] == shards
    assert len(parts) <= MAX_PARTS
    mean = sum(shard.size for shard in shards) / MAX_PARTS
    made = [sum(shard.size for shard in part.shards) for part in parts]
    assert all(size >= MIN_PART_BYTES for size in made[:-1])
    assert all(size <= 1.001 * mean + max(sizes) for size in made)


@given(found=sizes, most=st.integers(2, 12))
def test_any_shards_keep_their_order_in_the_parts_that_there_may_be(found: list[int], most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(join, "MAX_PARTS", most)
        parts = plan_join(shards_of(found))
    assert [shard for part in parts for shard in part.shards] == shards_of(found)
    assert len(parts) <= most
