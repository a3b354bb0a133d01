"""Jobs whose record cannot be read, or is not there, do not hide the account's others."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

import pytest

from pipelines.layout import JobPaths, index_key, index_prefix
from pipelines.object_store import ObjectStore
from pipelines.settings import Settings
from serve_app.exceptions import JobNotFound, RecordUnreadable
from serve_app.job_view import JobView
from serve_app.registry import JobRegistry
from tests.integration.storage.registry.running_registry import CONFIG, INPUT, accounts, in_a_loop, running


async def created(registry: JobRegistry, account: str, count: int) -> list[JobView]:
    return [await registry.create(account, f"batch_{secrets.token_hex(8)}", CONFIG) for _ in range(count)]


@pytest.mark.parametrize("processing", [False, True])
def test_a_job_whose_record_makes_no_sense_is_not_listed_says_so_and_can_only_be_deleted(
    settings: Settings, processing: bool
) -> None:
    store = ObjectStore(settings)

    async def test() -> None:
        (account,) = accounts(1)
        async with running(settings) as (registry, _):
            oldest, damaged, newest = await created(registry, account, 3)
            if processing:
                await registry.start(account, damaged.job_id, INPUT, 5)
        paths = JobPaths(account, damaged.job_id)
        store.put(paths.record, b'{"job_id": 5}')
        store.put(paths.input, b"x")
        async with running(settings) as (registry, _):
            listed = [job.job_id for job in await registry.newest(account, 20)]
            assert listed == [newest.job_id, oldest.job_id]
            for call in (
                registry.get(account, damaged.job_id),
                registry.start(account, damaged.job_id, INPUT, 5),
                registry.cancel(account, damaged.job_id),
            ):
                with pytest.raises(RecordUnreadable, match=f"{damaged.job_id} cannot be read.*operator.*deleted"):
                    await call
            with pytest.raises(JobNotFound):
                await registry.delete(f"{account}-2", damaged.job_id)
            await registry.delete(account, damaged.job_id)
            with pytest.raises(JobNotFound):
                await registry.get(account, damaged.job_id)
            assert [job.job_id for job in await registry.newest(account, 20)] == listed
        assert list(store.list(paths.prefix)) == []
        assert not store.exists(paths.active_marker)
        assert len(list(store.list(index_prefix(account)))) == 2

    in_a_loop(test)


def test_creations_that_were_cut_off_hide_no_earlier_job(settings: Settings) -> None:
    store = ObjectStore(settings)

    async def test() -> None:
        async with running(settings) as (registry, _):
            (account,) = accounts(1)
            jobs = await created(registry, account, 3)
            for number in range(25):
                store.put(index_key(account, f"batch_{number:016d}", datetime.now(UTC)), b"")
            assert await registry.newest(account, 20) == jobs[::-1]

    in_a_loop(test)
