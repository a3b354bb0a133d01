"""How an API replica talks to the registry."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

import ray
from ray.exceptions import RayActorError, RayTaskError

from pipelines.exceptions import LabelworksError, Unavailable
from pipelines.job import InputVersion, JobConfig, TaskConfig
from pipelines.logs import current_fields
from pipelines.settings import Settings
from serve_app.accounts import ApiKey
from serve_app.exceptions import KeyUncertain
from serve_app.job_repository import IdempotencyKey
from serve_app.job_view import JobView
from serve_app.placement import ACTOR_NAME, HEAD_RESOURCES, NAMESPACE
from serve_app.registry import ANSWER_SECONDS, DRIVERS_CALLS, JobRegistry
from serve_app.saved_classifier import ClassifierReference, SavedClassifier

logger = logging.getLogger(__name__)
Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

_CALLS_AT_ONCE = 1000
_START_AGAIN_SECONDS = 10.0


def connect_registry(settings: Settings) -> Any:
    """The registry's actor, which is made if there is none."""
    return (
        ray.remote(concurrency_groups={DRIVERS_CALLS: _CALLS_AT_ONCE})(JobRegistry)  # type: ignore[call-overload]
        .options(
            name=ACTOR_NAME,
            namespace=NAMESPACE,
            get_if_exists=True,
            lifetime="detached",
            max_restarts=-1,
            num_cpus=0,
            resources=HEAD_RESOURCES,
            max_concurrency=_CALLS_AT_ONCE,
        )
        .remote(settings)
    )


class _Unanswered(Unavailable):
    """The registry may have carried the call out, or may yet do so, which the answer tells as ``uncertain``."""

    def __init__(self, message: str | None = None, *, uncertain: bool = True) -> None:
        super().__init__(message, uncertain=uncertain)


class RegistryClient:
    """Calls the registry; raises its exceptions as they were, and Unavailable while it cannot answer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._actor: Any = None

    @asynccontextmanager
    async def started(self) -> AsyncIterator[None]:
        """See to it that there is a registry, whether or not anybody calls: after a new start of the cluster it has
        jobs to go on with, and to sweep what has expired.

        Once: Ray restarts one that dies, and one that has lost the bucket to another cluster's stays, idle.
        """
        task = asyncio.create_task(self._start())
        try:
            yield
        finally:
            task.cancel()

    async def _start(self) -> None:
        while True:
            try:
                await asyncio.to_thread(connect_registry, self._settings)
            except Exception:
                logger.exception("the job registry could not be started; trying again")
                await asyncio.sleep(_START_AGAIN_SECONDS)
            else:
                return

    async def create(self, account: str, job_id: str, config: JobConfig, idempotency: IdempotencyKey | None) -> JobView:
        return await self._call(JobRegistry.create, account, job_id, config, idempotency)

    async def created_before(self, account: str, idempotency: IdempotencyKey) -> JobView | None:
        return await self._call(JobRegistry.created_before, account, idempotency)

    async def get(self, account: str, job_id: str) -> JobView:
        return await self._call(JobRegistry.get, account, job_id)

    async def newest(self, account: str, limit: int) -> list[JobView]:
        return await self._call(JobRegistry.newest, account, limit)

    async def start(
        self, account: str, job_id: str, version: InputVersion, estimated_tokens: int, start_key: str | None
    ) -> JobView:
        return await self._call(JobRegistry.start, account, job_id, version, estimated_tokens, start_key)

    async def cancel(self, account: str, job_id: str) -> JobView:
        return await self._call(JobRegistry.cancel, account, job_id)

    async def delete(self, account: str, job_id: str) -> None:
        await self._call(JobRegistry.delete, account, job_id)

    async def save_classifier(self, account: str, name: str, task: TaskConfig, key_hash: str | None) -> SavedClassifier:
        return await self._call(JobRegistry.save_classifier, account, name, task, key_hash)

    async def delete_classifier(self, account: str, reference: ClassifierReference) -> None:
        await self._call(JobRegistry.delete_classifier, account, reference)

    async def add_key(self, key: ApiKey, key_hash: str) -> None:
        """Raises KeyUncertain where the registry does not say whether the key is stored."""
        try:
            await self._call(JobRegistry.add_key, key, key_hash)
        except _Unanswered as error:
            raise KeyUncertain(id=key.id) from error

    async def revoke_key(self, account: str, key_id: str, *, keep_one: bool) -> None:
        await self._call(JobRegistry.revoke_key, account, key_id, keep_one=keep_one)

    async def _call(
        self,
        method: Callable[Concatenate[JobRegistry, Arguments], Coroutine[Any, Any, Answer]],
        *arguments: Arguments.args,
        **named: Arguments.kwargs,
    ) -> Answer:
        if self._actor is None:
            self._actor = await asyncio.to_thread(connect_registry, self._settings)
        answer: Awaitable[Answer] = self._actor.answer.remote(method.__name__, current_fields(), *arguments, **named)
        try:
            return await asyncio.wait_for(asyncio.shield(answer), ANSWER_SECONDS)
        except RayTaskError as error:
            if isinstance(error.cause, LabelworksError):
                raise error.cause from None
            raise
        except RayActorError as error:
            self._actor = None
            raise _Unanswered("The job registry is restarting. Try again shortly.") from error
        except TimeoutError as error:
            raise _Unanswered("The job registry does not answer in time. Try again shortly.") from error
