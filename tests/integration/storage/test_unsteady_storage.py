"""The object store over connections that break and servers that are busy or away."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from io import BytesIO

import pytest

from pipelines.exceptions import ObjectChanged, ObjectMissing, StorageUnavailable
from pipelines.join import MIN_PART_BYTES, Shard, join_shards
from pipelines.object_store import ObjectStore
from tests.faults.tcp_proxy import Busy, Cut, CutRequest, Delay, Fault, FaultyProxy, Refuse
from tests.integration.storage.conftest import S3Server

MIB = 1024 * 1024
BODY = bytes(range(251)) * (3 * MIB // 251)
FAULTS: list[Fault] = [Cut(0), Cut(100), CutRequest(0), CutRequest(200), Busy(), Busy(500), Refuse()]


def sizes(store: ObjectStore, prefix: str) -> dict[str, int]:
    return {listed.key: listed.size for listed in store.list(prefix)}


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_each_call_is_tried_again_after_a_fault(
    store: ObjectStore, unsteady_store: ObjectStore, proxy: FaultyProxy, prefix: str, fault: Fault
) -> None:
    key = prefix + "a"
    store.put(prefix + "b", b"b")
    calls: list[tuple[Callable[[], object], object]] = [
        (lambda: unsteady_store.put(key, BytesIO(b"file")), None),
        (lambda: unsteady_store.get(key), b"file"),
        (lambda: unsteady_store.put(key, b"body", metadata={"a": "1"}), None),
        (lambda: unsteady_store.get(key), b"body"),
        (lambda: unsteady_store.get_with_etag(key), (b"body", "841a2d689ad86bd1611447453c22c6fc")),
        (lambda: unsteady_store.head(key).size, 4),
        (lambda: unsteady_store.exists(prefix + "none"), False),
        (lambda: unsteady_store.read_range(key, 1, 3, etag=store.head(key).etag), b"od"),
        (lambda: sizes(unsteady_store, prefix), {key: 4, prefix + "b": 1}),
        (lambda: unsteady_store.delete(prefix + "b"), None),
        (lambda: unsteady_store.ensure_bucket(), None),
    ]
    for call, answer in calls:
        proxy.fail_next(fault, fault)
        assert call() == answer
        assert proxy.unused_faults == 0
    assert sizes(store, prefix) == {key: 4}
    assert dict(store.head(key).metadata) == {"a": "1"}


@pytest.mark.parametrize("lengths", [[MIB + 100, 2 * MIB], [100, 400_000, 700_000, 1]])
def test_an_interrupted_body_is_continued_where_it_broke(
    store: ObjectStore, unsteady_store: ObjectStore, proxy: FaultyProxy, prefix: str, lengths: list[int]
) -> None:
    store.put(prefix + "a", BODY)
    etag = store.head(prefix + "a").etag
    proxy.fail_next(*(Cut(length) for length in lengths))
    assert unsteady_store.read_range(prefix + "a", 7, len(BODY), etag=etag) == BODY[7:]
    assert proxy.unused_faults == 0


def test_a_body_that_always_breaks_after_a_part_of_a_mebibyte_is_read_all_the_same(
    store: ObjectStore, unsteady_store: ObjectStore, proxy: FaultyProxy, prefix: str
) -> None:
    store.put(prefix + "a", BODY)
    etag = store.head(prefix + "a").etag
    proxy.fail_always(Cut(700_000))
    assert unsteady_store.read_range(prefix + "a", 0, len(BODY), etag=etag) == BODY
    assert proxy.connections < 12


def test_an_object_overwritten_while_its_body_is_read_is_not_mixed(
    store: ObjectStore, unsteady_store: ObjectStore, proxy: FaultyProxy, prefix: str
) -> None:
    store.put(prefix + "a", BODY)
    etag = store.head(prefix + "a").etag
    proxy.fail_next(Cut(2 * MIB))
    overwriting = threading.Thread(target=_overwrite_after_first_read, args=(store, proxy, prefix + "a"))
    overwriting.start()
    with pytest.raises(ObjectChanged):
        unsteady_store.read_range(prefix + "a", 0, len(BODY), etag=etag)
    overwriting.join()


def _overwrite_after_first_read(store: ObjectStore, proxy: FaultyProxy, key: str) -> None:
    while proxy.unused_faults:
        time.sleep(0.001)
    proxy.go_down()
    store.put(key, BODY[::-1])
    proxy.come_up()


@pytest.mark.parametrize("fault", [Refuse(), Busy(), Cut(0)], ids=repr)
def test_a_storage_that_stays_away_is_unavailable_within_the_retry_time(
    server: S3Server, proxy: FaultyProxy, fault: Fault
) -> None:
    store = ObjectStore(server.settings(endpoint=proxy.endpoint), retry_seconds=1)
    # Made ahead, since that takes long enough on a busy machine to leave no time for a second try.
    assert store._s3.client
    proxy.fail_always(fault)
    with pytest.raises(StorageUnavailable, match=r"does not answer|asked for 1 seconds"):
        store.get("a")
    assert proxy.connections >= 2


def test_a_storage_that_is_down_is_unavailable(server: S3Server, proxy: FaultyProxy) -> None:
    store = ObjectStore(server.settings(endpoint=proxy.endpoint), retry_seconds=0.5)
    proxy.go_down()
    calls: list[Callable[[], object]] = [
        lambda: store.get("a"),
        lambda: store.put("a", b""),
        lambda: store.head("a"),
        lambda: store.exists("a"),
        lambda: store.delete("a"),
        lambda: list(store.list("a")),
        lambda: store.read_range("a", 0, 1, etag="e"),
        lambda: store.begin_multipart("a"),
        lambda: store.ensure_bucket(),
    ]
    for call in calls:
        with pytest.raises(StorageUnavailable):
            call()


def test_a_storage_that_a_network_swallows_connections_to_is_unavailable(gateway_server: S3Server) -> None:
    with socket.socket() as listener, ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        # Nobody accepts, and once its queue is full the system drops what would open another connection.
        for _ in range(4):
            connection = waiting.enter_context(socket.socket())
            connection.setblocking(False)
            connection.connect_ex(address)
        store = ObjectStore(gateway_server.settings(endpoint=f"http://127.0.0.1:{address[1]}"), retry_seconds=0.5)
        with pytest.raises(StorageUnavailable, match=f"Connect timeout.*{address[1]}") as away:
            store.get("a")
        assert away.value.message == "The object storage does not answer. Try again shortly."


def test_a_storage_that_does_not_speak_tls_where_it_should_is_unavailable(gateway_server: S3Server) -> None:
    endpoint = gateway_server.endpoint.replace("http:", "https:")
    store = ObjectStore(gateway_server.settings(endpoint=endpoint), retry_seconds=0.5)
    with pytest.raises(StorageUnavailable, match=r"does not answer.*SSL"):
        store.get("a")


def test_a_storage_that_hangs_is_unavailable(server: S3Server, proxy: FaultyProxy) -> None:
    store = ObjectStore(server.settings(endpoint=proxy.endpoint), retry_seconds=4)
    proxy.fail_always(Delay(600))
    with pytest.raises(StorageUnavailable, match="Read timeout"):
        store.get("a")


@pytest.mark.parametrize(("retry_seconds", "one_try"), [(0.1, 1), (5, 5), (600, 30)])
def test_one_try_does_not_outlast_the_time_for_all_of_them(
    gateway_server: S3Server, retry_seconds: float, one_try: float
) -> None:
    store = ObjectStore(gateway_server.settings(), retry_seconds=retry_seconds)
    assert store._s3.client.meta.config.read_timeout == one_try


def test_a_storage_that_comes_back_is_used_again(
    store: ObjectStore, unsteady_store: ObjectStore, proxy: FaultyProxy, prefix: str
) -> None:
    store.put(prefix + "a", b"body")
    proxy.go_down()
    back = threading.Timer(0.7, proxy.come_up)
    back.start()
    assert unsteady_store.get(prefix + "a") == b"body"
    back.join()


def test_a_slow_answer_is_waited_for(
    store: ObjectStore, unsteady_store: ObjectStore, proxy: FaultyProxy, prefix: str
) -> None:
    store.put(prefix + "a", b"body")
    proxy.fail_next(Delay(1.5))
    assert unsteady_store.get(prefix + "a") == b"body"
    assert proxy.connections == 1


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_shards_are_joined_whole_over_faults(
    store: ObjectStore, unsteady_store: ObjectStore, proxy: FaultyProxy, prefix: str, fault: Fault
) -> None:
    bodies = [b"a" * MIN_PART_BYTES, b"b" * 10, b"c" * MIN_PART_BYTES, b"d"]
    shards = []
    for index, body in enumerate(bodies):
        store.put(f"{prefix}shards/{index}", body)
        shards.append(Shard(f"{prefix}shards/{index}", len(body), store.head(f"{prefix}shards/{index}").etag))
    proxy.fail_next(*[fault] * 3)
    join_shards(unsteady_store, shards, prefix + "results")
    assert store.get(prefix + "results") == b"".join(bodies)


def test_an_upload_whose_completion_was_carried_out_but_not_answered_is_complete(
    store: ObjectStore, unsteady_store: ObjectStore, proxy: FaultyProxy, prefix: str
) -> None:
    upload = unsteady_store.begin_multipart(prefix + "a")
    upload.put_part(1, b"body")
    proxy.fail_next(Cut(0))
    upload.complete()
    assert proxy.unused_faults == 0
    assert store.get(prefix + "a") == b"body"


def test_an_upload_that_someone_else_removed_is_not_complete(gateway_store: ObjectStore, prefix: str) -> None:
    upload = gateway_store.begin_multipart(prefix + "a")
    upload.put_part(1, b"body")
    upload.abort()
    with pytest.raises(ObjectMissing):
        upload.complete()
    assert not gateway_store.exists(prefix + "a")


def test_wrong_credentials_are_refused_at_once(gateway_server: S3Server) -> None:
    settings = gateway_server.settings().model_copy(update={"s3_access_key": "nobody"})
    with pytest.raises(StorageUnavailable, match="InvalidAccessKeyId"):
        ObjectStore(settings, retry_seconds=600).get("a")
