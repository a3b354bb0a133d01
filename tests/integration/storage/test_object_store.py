from __future__ import annotations

import pickle
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice

import httpx
import pytest

from pipelines import join, spool
from pipelines.exceptions import ObjectChanged, ObjectMissing, StorageUnavailable
from pipelines.join import MIN_PART_BYTES, Shard, join_shards
from pipelines.layout import JobPaths
from pipelines.object_store import ObjectStore, PresignedForm, multipart
from pipelines.shards import ShardOrigin, ShardReceipt, finished_shards, write_shard
from tests.integration.storage.conftest import S3Server

MIB = 1024 * 1024
BYTES = bytes(range(256)) * 4


def upload(form: PresignedForm, body: bytes, **changed: str) -> httpx.Response:
    return httpx.post(form.url, data=form.fields | changed, files={"file": ("input.ndjson", body)})


def names(store: ObjectStore, prefix: str, limit: int | None = None) -> list[str]:
    return [listed.key for listed in store.list(prefix, limit=limit)]


@pytest.mark.parametrize("body", [b"", b"\x00", BYTES, b"x" * (2 * MIB)])
def test_what_was_put_can_be_got(store: ObjectStore, prefix: str, body: bytes) -> None:
    store.put(prefix + "a", body)
    assert store.get(prefix + "a") == body
    store.put(prefix + "a", b"again")
    assert store.get(prefix + "a") == b"again"


def test_head_gives_size_version_and_metadata(store: ObjectStore, prefix: str) -> None:
    store.put(prefix + "a", BYTES, metadata={"completed": "12", "input": "0123-4"})
    one = store.head(prefix + "a")
    assert (one.key, one.size, dict(one.metadata)) == (prefix + "a", 1024, {"completed": "12", "input": "0123-4"})
    assert one.etag.strip('"') == one.etag != ""
    store.put(prefix + "a", BYTES[::-1])
    assert store.head(prefix + "a").etag != one.etag
    assert not store.head(prefix + "a").metadata


def test_an_object_that_is_not_there_is_missing(store: ObjectStore, prefix: str) -> None:
    with pytest.raises(ObjectMissing):
        store.get(prefix + "none")
    with pytest.raises(ObjectMissing):
        store.head(prefix + "none")
    assert not store.exists(prefix + "none")
    store.put(prefix + "none/but/this", b"a")
    with pytest.raises(ObjectMissing):
        store.get(prefix + "none/but")


def test_a_list_holds_every_key_of_the_prefix_once_in_lexical_order(store: ObjectStore, prefix: str) -> None:
    keys = [prefix + name for name in ("b", "a/z", "a/b/c", "a-1", "a.1", "a0", "c/d", "10", "9")]
    for key in keys:
        store.put(key, b"xy")
    store.put(prefix[:-1] + "-beside", b"x")
    assert [(listed.key, listed.size) for listed in store.list(prefix)] == [(key, 2) for key in sorted(keys)]
    assert names(store, prefix + "a/") == [prefix + "a/b/c", prefix + "a/z"]
    assert list(store.list(prefix + "nothing")) == []


@pytest.mark.parametrize("limit", [0, 1, 3, 9, 10])
def test_a_list_stops_at_its_limit(store: ObjectStore, prefix: str, limit: int) -> None:
    for number in range(9):
        store.put(f"{prefix}{number}", b"")
    found = names(store, prefix, limit)
    assert found == [f"{prefix}{number}" for number in range(min(9, limit))]


def test_a_list_goes_on_over_pages_also_while_what_it_named_is_removed(gateway_store: ObjectStore, prefix: str) -> None:
    keys = [f"{prefix}{number:05d}" for number in range(1_002)]
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda key: gateway_store.put(key, b""), keys))
    assert names(gateway_store, prefix) == keys
    assert names(gateway_store, prefix, 1_001) == keys[:1_001]
    listing = gateway_store.list(prefix)
    gateway_store.delete(*(listed.key for listed in islice(listing, 1_000)))
    assert [listed.key for listed in listing] == keys[1_000:]


def test_deleting_removes_what_is_there_and_minds_nothing_else(store: ObjectStore, prefix: str) -> None:
    store.put(prefix + "a/b", b"1")
    store.put(prefix + "a/c", b"2")
    store.delete(prefix + "a/b", prefix + "none", prefix + "a/c/d")
    assert names(store, prefix) == [prefix + "a/c"]
    store.delete(prefix + "a/c")
    store.delete()
    assert list(store.list(prefix)) == []


@pytest.mark.parametrize(("start", "end"), [(0, 1024), (0, 1), (1023, 1024), (100, 900), (5, 5)])
def test_a_ranged_read_gives_those_bytes(store: ObjectStore, prefix: str, start: int, end: int) -> None:
    store.put(prefix + "a", BYTES)
    assert store.read_range(prefix + "a", start, end, etag=store.head(prefix + "a").etag) == BYTES[start:end]


def test_a_ranged_read_of_an_overwritten_object_says_so(store: ObjectStore, prefix: str) -> None:
    store.put(prefix + "a", BYTES)
    etag = store.head(prefix + "a").etag
    store.put(prefix + "a", BYTES[::-1])
    with pytest.raises(ObjectChanged):
        store.read_range(prefix + "a", 0, 10, etag=etag)


def test_a_ranged_read_of_a_removed_object_says_so(store: ObjectStore, prefix: str) -> None:
    store.put(prefix + "a", BYTES)
    etag = store.head(prefix + "a").etag
    store.delete(prefix + "a")
    with pytest.raises(ObjectChanged):
        store.read_range(prefix + "a", 0, 10, etag=etag)


@pytest.mark.parametrize(("start", "end"), [(0, 1025), (1000, 2000), (1024, 1025), (5000, 6000)])
def test_a_ranged_read_beyond_the_end_says_that_it_is_another_object(
    store: ObjectStore, prefix: str, start: int, end: int
) -> None:
    store.put(prefix + "a", BYTES)
    with pytest.raises(ObjectChanged):
        store.read_range(prefix + "a", start, end, etag=store.head(prefix + "a").etag)


def test_a_store_that_was_pickled_makes_its_own_connections(store: ObjectStore, prefix: str) -> None:
    store.put(prefix + "a", BYTES)
    store.presign_download(prefix + "a", filename="a", seconds=60)
    copy: ObjectStore = pickle.loads(pickle.dumps(store))
    assert copy.get(prefix + "a") == BYTES


def test_making_a_bucket_that_is_there_changes_nothing(store: ObjectStore, prefix: str) -> None:
    store.put(prefix + "a", BYTES)
    store.ensure_bucket()
    assert store.get(prefix + "a") == BYTES


def test_a_bucket_that_is_not_there_is_no_missing_object(server: S3Server) -> None:
    store = ObjectStore(server.settings(bucket="no-such-bucket"), retry_seconds=0.1)
    with pytest.raises(StorageUnavailable, match="NoSuchBucket"):
        store.get("a")
    with pytest.raises(StorageUnavailable, match="NoSuchBucket"):
        store.put("a", b"")


def test_a_form_uploads_one_object(store: ObjectStore, prefix: str) -> None:
    form = store.presign_upload(prefix + "input.ndjson", max_bytes=100, seconds=60)
    assert upload(form, b"x" * 100).status_code == 204
    assert store.get(prefix + "input.ndjson") == b"x" * 100


def test_a_form_uploads_nothing_but_its_object_within_its_limits(gateway_store: ObjectStore, prefix: str) -> None:
    form = gateway_store.presign_upload(prefix + "input.ndjson", max_bytes=100, seconds=60)
    too_large = upload(form, b"x" * 101)
    assert (too_large.status_code, "EntityTooLarge" in too_large.text) == (400, True)
    empty = upload(form, b"")
    assert (empty.status_code, "EntityTooSmall" in empty.text) == (400, True)
    assert upload(form, b"x", key=prefix + "other").status_code == 403
    assert upload(form, b"x", key="accounts/keys/mine.json").status_code == 403
    assert upload(form, b"x", **{"x-amz-signature": "0" * 64}).status_code == 403
    assert list(gateway_store.list(prefix)) == []


def test_a_form_that_has_expired_uploads_nothing(gateway_store: ObjectStore, prefix: str) -> None:
    form = gateway_store.presign_upload(prefix + "input.ndjson", max_bytes=100, seconds=-10)
    assert upload(form, b"x").status_code in (400, 403)
    assert list(gateway_store.list(prefix)) == []


def test_a_link_downloads_one_object_under_a_name(store: ObjectStore, prefix: str) -> None:
    store.put(prefix + "results.ndjson", BYTES)
    link = store.presign_download(prefix + "results.ndjson", filename="batch_1.ndjson", seconds=60)
    answer = httpx.get(link)
    assert (answer.status_code, answer.content) == (200, BYTES)
    assert answer.headers["content-disposition"] == 'attachment; filename="batch_1.ndjson"'
    assert answer.headers["content-type"] == "application/x-ndjson"


def test_a_link_can_be_read_in_ranges(store: ObjectStore, prefix: str) -> None:
    store.put(prefix + "a", BYTES)
    link = store.presign_download(prefix + "a", filename="a", seconds=60)
    answer = httpx.get(link, headers={"Range": "bytes=1000-"})
    assert (answer.status_code, answer.content) == (206, BYTES[1000:])


def test_a_link_opens_nothing_else_and_not_for_ever(gateway_store: ObjectStore, prefix: str) -> None:
    gateway_store.put(prefix + "a", BYTES)
    gateway_store.put(prefix + "b", BYTES)
    link = gateway_store.presign_download(prefix + "a", filename="a", seconds=60)
    assert httpx.get(link.replace(prefix + "a", prefix + "b")).status_code == 403
    assert httpx.delete(link).status_code == 403
    expired = gateway_store.presign_download(prefix + "a", filename="a", seconds=-10)
    assert httpx.get(expired).status_code in (400, 403)


def test_clients_are_given_the_public_address(gateway_server: S3Server) -> None:
    settings = gateway_server.settings().model_copy(update={"s3_public_endpoint": "https://files.example.org"})
    store = ObjectStore(settings)
    assert store.presign_upload("a", max_bytes=1, seconds=60).url == "https://files.example.org/labelworks"
    assert store.presign_download("a", filename="a", seconds=60).startswith("https://files.example.org/labelworks/a?")


@pytest.mark.parametrize(
    "sizes",
    [[1], [1, 2, 3], [MIN_PART_BYTES, 1], [MIN_PART_BYTES + 7, MIN_PART_BYTES, 3, 4], [3, MIN_PART_BYTES, 9, 5]],
)
def test_shards_are_joined_in_order(store: ObjectStore, prefix: str, sizes: list[int]) -> None:
    bodies = [bytes([97 + index]) * size for index, size in enumerate(sizes)]
    shards = stored_shards(store, prefix, bodies)
    join_shards(store, shards, prefix + "results")
    assert store.get(prefix + "results") == b"".join(bodies)
    join_shards(store, shards, prefix + "results")
    assert store.get(prefix + "results") == b"".join(bodies)


@pytest.mark.parametrize("in_memory", [16 * MIB, 100], ids=["in memory", "on disk"])
def test_more_large_shards_than_there_may_be_parts_are_joined_in_order(
    store: ObjectStore, prefix: str, monkeypatch: pytest.MonkeyPatch, in_memory: int
) -> None:
    monkeypatch.setattr(join, "MAX_PARTS", 3)
    monkeypatch.setattr(spool, "_IN_MEMORY_BYTES", in_memory)
    monkeypatch.setattr(join, "_READ_BYTES", 2 * MIB)
    bodies = [bytes([97 + index]) * (MIN_PART_BYTES + index) for index in range(5)]
    shards = stored_shards(store, prefix, bodies)
    join_shards(store, shards, prefix + "results")
    assert store.get(prefix + "results") == b"".join(bodies)


def stored_shards(store: ObjectStore, prefix: str, bodies: Sequence[bytes]) -> list[Shard]:
    keys = [f"{prefix}shards/{index}" for index in range(len(bodies))]
    for key, body in zip(keys, bodies, strict=True):
        store.put(key, body)
    return [stored_shard(store, key) for key in keys]


def stored_shard(store: ObjectStore, key: str) -> Shard:
    info = store.head(key)
    return Shard(key, info.size, info.etag)


@pytest.mark.parametrize("sizes", [[3], [3, 3], [MIN_PART_BYTES, MIN_PART_BYTES], [MIN_PART_BYTES, 3]])
@pytest.mark.parametrize("becomes", ["overwritten", "removed"])
def test_shards_are_not_joined_once_one_is_not_what_it_was(
    store: ObjectStore, server: S3Server, prefix: str, sizes: list[int], becomes: str
) -> None:
    if server.name == "moto" and becomes == "overwritten":
        # It copies a part whatever the source's version; a small last part is read instead.
        sizes = [*sizes, 3]
    shards = []
    for index, size in enumerate(sizes):
        store.put(f"{prefix}shards/{index}", b"a" * size)
        shards.append(stored_shard(store, f"{prefix}shards/{index}"))
    if becomes == "removed":
        store.delete(shards[-1].key)
    else:
        store.put(shards[-1].key, b"b" * sizes[-1])
    with pytest.raises(ObjectChanged):
        join_shards(store, shards, prefix + "results")
    assert not store.exists(prefix + "results")


def test_an_upload_in_parts_appears_whole_when_it_is_completed(store: ObjectStore, prefix: str) -> None:
    parts = store.begin_multipart(prefix + "a")
    parts.put_part(2, b"end")
    parts.put_part(1, b"a" * MIN_PART_BYTES)
    assert not store.exists(prefix + "a")
    parts.complete()
    assert store.get(prefix + "a") == b"a" * MIN_PART_BYTES + b"end"


def test_an_upload_in_parts_that_is_given_up_leaves_nothing(store: ObjectStore, prefix: str) -> None:
    parts = store.begin_multipart(prefix + "a")
    parts.put_part(1, b"a")
    parts.abort()
    parts.abort()
    assert list(store.list(prefix)) == []


def test_a_list_says_when_objects_were_stored(store: ObjectStore, prefix: str) -> None:
    begun = datetime.now(UTC)
    store.put(prefix + "a", b"")
    (listed,) = store.list(prefix)
    # S3 gives whole seconds.
    assert begun - timedelta(seconds=1) <= listed.modified <= datetime.now(UTC) + timedelta(seconds=1)


def test_uploads_in_parts_that_were_never_ended_are_dropped_once_they_are_old(
    gateway_store: ObjectStore, prefix: str
) -> None:
    uploads = [gateway_store.begin_multipart(prefix + name) for name in ("a", "b/c")]
    for upload_of in uploads:
        upload_of.put_part(1, b"x")
    long_ago, soon = (datetime.now(UTC) + timedelta(hours=hours) for hours in (-1, 1))
    assert gateway_store.abort_multiparts(prefix, before=long_ago) == 0
    assert gateway_store.abort_multiparts(prefix, before=soon) == 2
    assert gateway_store.abort_multiparts(prefix, before=soon) == 0
    assert names(gateway_store, prefix) == []


def test_uploads_in_parts_are_dropped_also_where_they_fill_more_than_one_page(
    gateway_store: ObjectStore, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multipart, "_UPLOADS_A_PAGE", 2)
    for name in ("a", "b", "b", "c", "d/e"):
        gateway_store.begin_multipart(prefix + name)
    assert gateway_store.abort_multiparts(prefix) == 5
    assert gateway_store.abort_multiparts(prefix) == 0


def test_shards_are_found_again_with_their_counters(store: ObjectStore) -> None:
    paths = JobPaths("acme", "batch_00000000000shard")
    receipts = {
        index: ShardReceipt(index, completed=index + 1, failed=2, tokens=30, size=4) for index in (0, 7, 12_345)
    }
    origin = ShardOrigin("etag-one", "engine-one")
    for receipt in receipts.values():
        write_shard(store, paths, b"abcd", receipt, origin)
    write_shard(store, paths, b"xy", ShardReceipt(3, 1, 0, 1, 2), ShardOrigin("etag-of-another-input", "engine-one"))
    write_shard(store, paths, b"xy", ShardReceipt(4, 1, 0, 1, 2), ShardOrigin("etag-one", "another-engine"))
    found = finished_shards(store, paths, origin)
    assert {index: shard.receipt for index, shard in found.items()} == receipts
    assert found[7].etag == store.head(paths.shard(7)).etag
    store.delete(*names(store, paths.prefix))
    assert finished_shards(store, paths, origin) == {}
