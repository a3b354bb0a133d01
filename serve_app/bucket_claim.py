"""Whether the bucket is still this registry's, which its writes find out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from pipelines.exceptions import StorageUnavailable
from serve_app.exceptions import BucketTaken, RegistrySuperseded
from serve_app.job_repository import JobRepository

logger = logging.getLogger(__name__)
Arguments = ParamSpec("Arguments")
Written = TypeVar("Written")


class BucketClaim:
    """``lost`` is set, for good, once a newer registry has claimed the bucket."""

    def __init__(self, repository: JobRepository) -> None:
        self._repository = repository
        self.lost = asyncio.Event()

    def require(self) -> None:
        """Raises BucketTaken where the bucket is lost."""
        if self.lost.is_set():
            raise BucketTaken

    async def write(
        self, write: Callable[Arguments, Written], *arguments: Arguments.args, **named: Arguments.kwargs
    ) -> Written:
        """What ``write`` returns, called in a thread.

        Raises BucketTaken, StorageUnavailable with ``uncertain`` among its details, and whatever else ``write`` does.
        """
        try:
            return await asyncio.to_thread(write, *arguments, **named)
        except RegistrySuperseded as error:
            if not self.lost.is_set():
                logger.error("another cluster has claimed the bucket; epoch %d is over", self._repository.epoch)
            self.lost.set()
            raise BucketTaken from error
        except StorageUnavailable as error:
            # Of a write whose answer was lost nobody knows.
            raise StorageUnavailable(error.message, reason=error.reason, uncertain=True) from error
