from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.layout import (
    ACTIVE_PREFIX,
    KEYS_PREFIX,
    RECORD_NAME,
    IndexEntry,
    JobPaths,
    UsageKey,
    api_key_object,
    index_key,
    index_prefix,
    job_prefix_of,
    key_hash_of,
    key_list_entry,
    new_job_id,
    read_active_marker,
    read_index_key,
    read_usage_key,
    shard_index,
    usage_day,
    usage_entry,
)

JOB = "batch_0123456789abcdef"
LOWER = "abcdefghijklmnopqrstuvwxyz0123456789"


@pytest.mark.parametrize(
    "account",
    [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "a/",
        "/a",
        "a b",
        "A",
        "a.b",
        "-a",
        "_a",
        "a\n",
        "\na",
        "a\x00",
        "é",
        "a" * 64,
        "%2e",
    ],
)
def test_an_account_that_must_not_become_a_path_is_refused(account: str) -> None:
    with pytest.raises(ValueError, match="not an account name"):
        JobPaths(account, JOB)


@pytest.mark.parametrize("account", ["a", "0", "acme", "a-b_c", "0" * 63])
def test_a_fit_account_is_accepted(account: str) -> None:
    assert JobPaths(account, JOB).input == f"batch/{account}/{JOB}/input.ndjson"


@pytest.mark.parametrize(
    "job_id",
    [
        "",
        "batch_",
        "batch_0123456789abcde",
        "batch_0123456789abcdef0",
        "batch_0123456789ABCDEF",
        "batch_0123456789abcde/",
        "batch_0123456789abc/..",
        "batch_0123456789abcdef\n",
        "\nbatch_0123456789abcdef",
        "Batch_0123456789abcdef",
        "batch-0123456789abcdef",
        "batch_٠١٢٣٤٥٦٧٨٩abcdef",
        "batch_0123456789abcde%",
        "../../accounts/keys/x",
    ],
)
def test_a_job_id_that_must_not_become_a_path_is_refused(job_id: str) -> None:
    with pytest.raises(ValueError, match="not a job id"):
        JobPaths("acme", job_id)


@given(account=st.text(max_size=70), job_id=st.text(max_size=30))
@example(account="acme", job_id="batch_0123456789abcdef/")
def test_whatever_is_accepted_stays_within_its_own_prefix(account: str, job_id: str) -> None:
    try:
        paths = JobPaths(account, job_id)
    except ValueError:
        return
    assert set(account) <= set(LOWER + "-_")
    assert paths.prefix.split("/") == ["batch", account, job_id, ""]


def test_every_object_of_a_job_but_its_marker_lies_under_its_prefix() -> None:
    paths = JobPaths("acme", JOB)
    keys = [paths.input, paths.record, paths.plan, paths.results, paths.shard(12), paths.shards_prefix]
    assert all(key.startswith(f"batch/acme/{JOB}/") for key in keys)
    assert len(set(keys)) == len(keys)
    assert paths.shard(12) == f"batch/acme/{JOB}/shards/00012.ndjson"
    assert paths.active_marker == f"{ACTIVE_PREFIX}acme/{JOB}"


def test_shards_sort_in_the_order_of_their_ranges() -> None:
    paths = JobPaths("acme", JOB)
    keys = [paths.shard(index) for index in (0, 1, 9, 10, 99, 100, 9999, 10_000, 99_999)]
    assert keys == sorted(keys)


@given(index=st.integers(0, 10**6))
def test_the_keys_of_a_jobs_objects_tell_the_job_and_the_shard_again(index: int) -> None:
    paths = JobPaths("a-b_c", JOB)
    assert shard_index(paths.shard(index)) == index
    assert read_active_marker(paths.active_marker) == ("a-b_c", JOB)
    assert {job_prefix_of(key) for key in (paths.input, paths.record, paths.shard(index))} == {paths.prefix}
    assert paths.prefix + RECORD_NAME == paths.record


def test_new_job_ids_are_fit_for_paths_and_different() -> None:
    ids = {new_job_id() for _ in range(100)}
    assert len({JobPaths("acme", job_id).prefix for job_id in ids}) == 100


moments = st.datetimes(
    min_value=datetime(2000, 1, 1),
    max_value=datetime(2200, 1, 1),
    timezones=st.just(UTC),
)


@given(one=moments, other=moments)
def test_the_index_of_an_account_sorts_its_newest_job_first(one: datetime, other: datetime) -> None:
    earlier, later = sorted([one, other])
    if earlier != later:
        assert index_key("acme", JOB, later) < index_key("acme", JOB, earlier)
    assert index_key("acme", JOB, one).startswith(index_prefix("acme"))
    assert index_key("acme", JOB, one).rsplit("-", 1)[1] == JOB


@given(moment=moments)
def test_jobs_of_neighbouring_microseconds_are_told_apart(moment: datetime) -> None:
    later = moment + timedelta(microseconds=1)
    assert index_key("acme", JOB, later) < index_key("acme", JOB, moment)


@given(moment=moments, account=st.sampled_from(["acme", "a-b", "a-1-b_c"]))
def test_an_index_key_tells_its_job_again(moment: datetime, account: str) -> None:
    assert read_index_key(index_key(account, JOB, moment)) == IndexEntry(account, JOB, moment)


def test_a_moment_has_one_index_key_in_every_time_zone() -> None:
    moment = datetime(2026, 11, 1, 12, tzinfo=UTC)
    assert index_key("acme", JOB, moment) == index_key("acme", JOB, datetime.fromisoformat("2026-11-01T14:00:00+02:00"))


def test_one_accounts_index_does_not_hold_another_whose_name_begins_alike() -> None:
    assert not index_key("acme-2", JOB, datetime.now(UTC)).startswith(index_prefix("acme"))


def test_a_key_is_stored_under_its_hash() -> None:
    assert api_key_object("ab" * 32) == f"{KEYS_PREFIX}{'ab' * 32}.json"


def test_both_keys_of_an_api_key_tell_its_hash_again() -> None:
    assert key_hash_of(api_key_object("ab" * 32)) == key_hash_of(key_list_entry("a-b_c", "ab" * 32)) == "ab" * 32


@given(day=st.dates(), account=st.sampled_from(["acme", "a-b_c"]))
def test_the_keys_of_a_days_usage_tell_the_day_and_the_source_again(day: date, account: str) -> None:
    for source in (JOB, "calls-0123456789abcdef0123456789abcdef"):
        assert read_usage_key(usage_entry(account, day, source)) == UsageKey(account, day, source)
    assert read_usage_key(usage_day(account, day)) == UsageKey(account, day, None)
