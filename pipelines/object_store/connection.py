"""How one bucket is reached: the clients of a process, and calls that are tried again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import lru_cache
from typing import IO, TYPE_CHECKING, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from pydantic import SecretStr
from urllib3.exceptions import HTTPError

from pipelines.object_store.failures import given_up, raise_unless_transient
from pipelines.settings import Settings
from pipelines.storage_metrics import count_calls

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")
Body = bytes | IO[bytes]
"""What is stored: bytes, or a file, which is read from its beginning."""

_READ_TIMEOUT_SECONDS = 30.0


class BucketConnection:
    """One bucket's name and clients, which those of a process share. Can be pickled. Thread-safe."""

    def __init__(self, settings: Settings, retry_seconds: float | None = None) -> None:
        """``retry_seconds`` instead of the settings' number."""
        self._settings = settings
        self._retry_seconds = settings.s3_retry_seconds if retry_seconds is None else retry_seconds
        self.bucket = settings.s3_bucket

    @property
    def client(self) -> S3Client:
        return self._client_at(self._settings.s3_endpoint)

    @property
    def public_client(self) -> S3Client:
        """Signs links and forms for the address that the service's clients reach the storage at."""
        return self._client_at(self._settings.s3_public_endpoint or self._settings.s3_endpoint)

    def retried(self, call: Callable[[], T]) -> T:
        """Call with jittered backoff for ``retry_seconds``.

        Raises StorageUnavailable when the storage still does not answer then, or refuses; else as
        ``raise_unless_transient`` does.
        """
        deadline = time.monotonic() + self._retry_seconds
        delay = 0.1
        while True:
            try:
                return call()
            except (BotoCoreError, ClientError, HTTPError) as error:
                raise_unless_transient(error)
                if time.monotonic() + delay > deadline:
                    raise given_up(error, self._retry_seconds) from error
            time.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, 5.0)

    def _client_at(self, endpoint: str | None) -> S3Client:
        told = self._settings
        return _client_for(endpoint, told.s3_region, told.s3_access_key, told.s3_secret_key, self._retry_seconds)


def from_start(body: Body) -> Body:
    """The whole of it, whatever an earlier try has read."""
    if not isinstance(body, bytes):
        body.seek(0)
    return body


# Making one takes 0.2 s, and a task that is handed a store would make its own.
@lru_cache(maxsize=8)
def _client_for(
    endpoint: str | None, region: str, access_key: str | None, secret: SecretStr | None, retry_seconds: float
) -> S3Client:
    session = boto3.session.Session()
    if access_key is None and session.get_credentials() is None:
        # A machine that was slow to tell its own may tell them to the next call, which would find this client without.
        raise NoCredentialsError
    client = session.client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        config=Config(
            signature_version="s3v4",
            connect_timeout=5,
            # Whoever wants an answer soon must not wait long for one try.
            read_timeout=min(_READ_TIMEOUT_SECONDS, max(retry_seconds, 1.0)),
            # Retried here instead, where the time limit and an interrupted body are known.
            retries={"total_max_attempts": 1},
            max_pool_connections=32,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path" if endpoint else "virtual"},
        ),
    )
    count_calls(client)
    return client
