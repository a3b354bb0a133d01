"""What the registry does from time to time, whether or not anybody calls."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from serve_app.account_turns import AccountTurns
from serve_app.exceptions import JobNotFound
from serve_app.isolated_steps import isolated
from serve_app.job_repository import JobRepository
from serve_app.job_states import JobStates
from serve_app.retention import Retention
from serve_app.usage import UsageLedger


class Sweep:
    """Removes what has expired, and what no job record speaks for; settles jobs, and puts usage together."""

    def __init__(
        self,
        retention: Retention,
        repository: JobRepository,
        usage: UsageLedger,
        turns: AccountTurns,
        states: JobStates,
    ) -> None:
        self._retention = retention
        self._repository = repository
        self._usage = usage
        self._turns = turns
        self._states = states

    async def run(self) -> None:
        """Raises StorageUnavailable; what else goes wrong with one step keeps no other from being done."""
        now = datetime.now(UTC)
        with isolated("finding expired jobs"):
            expired = self._retention.expired(now)
            while found := await asyncio.to_thread(next, expired, None):
                account, job_id = found
                with isolated("removing an expired job", job_id=job_id):
                    await self._remove_expired(account, job_id, now)
        with isolated("removing orphans"):
            await asyncio.to_thread(self._retention.remove_orphans, now)
        with isolated("settling completed jobs"):
            await asyncio.to_thread(self._repository.settle_completed)
        with isolated("putting usage together"):
            await asyncio.to_thread(self._usage.fold)

    async def _remove_expired(self, account: str, job_id: str, now: datetime) -> None:
        async with self._turns.in_turn(account):
            try:
                job = await self._states.load(account, job_id)
            except JobNotFound:
                # Its place in the account's list would stay for ever, and may hide another job.
                await self._states.unlist(account, job_id)
                return
            # It may have been started since it was found.
            if await asyncio.to_thread(self._retention.is_expired, job, now):
                await self._states.delete(job)
