"""Steps of a loop that must not fail together."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.exceptions import StorageUnavailable

logger = logging.getLogger(__name__)


@contextmanager
def isolated(what: str, **fields: str | int) -> Iterator[None]:
    """Logs what goes wrong with one job, or in one step, so that the others go on.

    Raises StorageUnavailable: a storage that is away keeps all of them waiting.
    """
    try:
        yield
    except StorageUnavailable:
        raise
    except Exception:
        logger.exception("%s failed; trying again later", what, extra=fields)
