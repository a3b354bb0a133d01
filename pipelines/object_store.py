"""The only place that talks to S3."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
)
from pydantic import SecretStr
from urllib3.exceptions import HTTPError

from pipelines.exceptions import ObjectChanged, ObjectMissing, StorageUnavailable
from pipelines.settings import Settings
from pipelines.storage_metrics import count_calls

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, CopySourceTypeDef

T = TypeVar("T")
StorageError = BotoCoreError | ClientError | HTTPError
Body = bytes | IO[bytes]
"""What is stored: bytes, or a file, which is read from its beginning."""

# What an interrupted body may lose of what had arrived.
_STREAM_CHUNK = 64 * 1024
_READ_TIMEOUT_SECONDS = 30.0
_DELETE_THREADS = 16
_UPLOADS_A_PAGE = 1000
_MISSING = {"404", "NoSuchKey", "NotFound", "NoSuchUpload"}
_TRANSIENT_CODES = {
    "ExpiredToken",
    "InternalError",
    "RequestTimeout",
    "RequestTimeTooSkewed",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
    "XMinioServerNotInitialized",
}
_STORING_CALLS = {
    "CompleteMultipartUpload",
    "CreateMultipartUpload",
    "PutObject",
    "UploadPart",
    "UploadPartCopy",
}
_REFUSED = "The object storage refused a call. The service's operator finds the reason in its log."
_NO_CREDENTIALS = "there are no credentials: set LABELWORKS_S3_ACCESS_KEY and LABELWORKS_S3_SECRET_KEY"
_TRANSIENT_ERRORS = (
    # The machine's own, which it renews every few hours.
    CredentialRetrievalError,
    # With all that follow from them: refusals, timeouts, TLS, proxies; answers that break off.
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    # What botocore does not make one of its own of: TLS that fails in the middle of a body.
    HTTPError,
)


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object's size in bytes, ETag (without quotes) and user metadata."""

    key: str
    size: int
    etag: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ListedObject:
    """An object as a listing shows it; ``size`` in bytes."""

    key: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class PresignedForm:
    """A form that lets its holder upload one object: POST ``fields``, then the file, to ``url``."""

    url: str
    fields: dict[str, str]


class ObjectStore:
    """One bucket. Calls are retried with jittered backoff for ``s3_retry_seconds``.

    Raises StorageUnavailable when the storage still does not answer then, ObjectMissing for a key that is not there.
    Can be pickled: the stores of a process share its connections. Thread-safe.
    """

    def __init__(self, settings: Settings, *, retry_seconds: float | None = None) -> None:
        self._settings = settings
        self._bucket = settings.s3_bucket
        self._retry_seconds = settings.s3_retry_seconds if retry_seconds is None else retry_seconds

    @property
    def _client(self) -> S3Client:
        return self._client_at(self._settings.s3_endpoint)

    @property
    def _public_client(self) -> S3Client:
        return self._client_at(self._settings.s3_public_endpoint or self._settings.s3_endpoint)

    def _client_at(self, endpoint: str | None) -> S3Client:
        told = self._settings
        return _client_for(endpoint, told.s3_region, told.s3_access_key, told.s3_secret_key, self._retry_seconds)

    def _retried(self, call: Callable[[], T]) -> T:
        deadline = time.monotonic() + self._retry_seconds
        delay = 0.1
        while True:
            try:
                return call()
            except (BotoCoreError, ClientError, HTTPError) as error:
                _raise_unless_transient(error)
                if time.monotonic() + delay > deadline:
                    raise StorageUnavailable(_gave_up(error, self._retry_seconds), reason=_reason(error)) from error
            time.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, 5.0)

    def ensure_bucket(self) -> None:
        """Create the bucket if it is not there."""
        try:
            self._retried(lambda: self._client.head_bucket(Bucket=self._bucket))
        except ObjectMissing:
            self._retried(lambda: self._client.create_bucket(Bucket=self._bucket))

    def server_time(self, key: str | None = None) -> datetime:
        """The storage's clock, to the second, as its answers carry it: about ``key``, for whoever may read that and
        not list the bucket.
        """
        answer = self._retried(
            lambda: (
                self._client.head_bucket(Bucket=self._bucket)
                if key is None
                else self._client.head_object(Bucket=self._bucket, Key=key)
            )
        )
        return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])

    def put(
        self,
        key: str,
        body: Body,
        *,
        metadata: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> None:
        """Store ``body`` under ``key``, whole or not at all."""
        self._retried(
            lambda: self._client.put_object(
                Bucket=self._bucket, Key=key, Body=_from_start(body), Metadata=metadata or {}, ContentType=content_type
            )
        )

    def get(self, key: str) -> bytes:
        """The whole object; for small ones."""
        return self._retried(lambda: self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read())

    def head(self, key: str) -> ObjectInfo:
        """The object's size, ETag and metadata."""
        found = self._retried(lambda: self._client.head_object(Bucket=self._bucket, Key=key))
        return ObjectInfo(key, found["ContentLength"], found["ETag"].strip('"'), found.get("Metadata", {}))

    def read_range(self, key: str, start: int, end: int, *, etag: str) -> bytes:
        """Bytes ``start`` to ``end`` (exclusive) of one version of an object.

        An interrupted body is continued at its last good byte. Raises ObjectChanged when the object's ETag is not
        ``etag``, the object ends before ``end`` or is gone.
        """
        received = bytearray()

        def continue_reading() -> None:
            answer = self._client.get_object(
                Bucket=self._bucket, Key=key, Range=f"bytes={start + len(received)}-{end - 1}", IfMatch=etag
            )
            if answer["ETag"].strip('"') != etag:
                raise ObjectChanged
            for chunk in answer["Body"].iter_chunks(_STREAM_CHUNK):
                received.extend(chunk)

        while len(received) < end - start:
            try:
                self._retried(continue_reading)
            except (ObjectMissing, _PreconditionFailed) as error:
                raise ObjectChanged from error
        return bytes(received)

    def exists(self, key: str) -> bool:
        try:
            self.head(key)
        except ObjectMissing:
            return False
        return True

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ListedObject]:
        """The objects under ``prefix`` in lexical order."""
        token: str | None = None
        given = 0
        while limit is None or given < limit:
            wanted = 1000 if limit is None else min(1000, limit - given)
            more: dict[str, Any] = {"ContinuationToken": token} if token else {}
            page = self._retried(
                lambda wanted=wanted, more=more: self._client.list_objects_v2(  # type: ignore[misc]
                    Bucket=self._bucket, Prefix=prefix, MaxKeys=wanted, **more
                )
            )
            for entry in page.get("Contents", []):
                yield ListedObject(entry["Key"], entry["Size"], entry["LastModified"])
                given += 1
            token = page.get("NextContinuationToken")
            if not page.get("IsTruncated") or not token:
                return

    def delete(self, *keys: str) -> None:
        """Remove objects; those that are not there are no error."""
        # One by one: not every server takes batch deletes from current clients.
        with ThreadPoolExecutor(_DELETE_THREADS) as threads:
            list(threads.map(self._delete_one, keys))

    def _delete_one(self, key: str) -> None:
        self._retried(lambda: self._client.delete_object(Bucket=self._bucket, Key=key))

    def presign_upload(self, key: str, *, max_bytes: int, seconds: int) -> PresignedForm:
        """A form for uploading exactly this key, 1 to ``max_bytes`` bytes, for ``seconds``."""
        made = self._public_client.generate_presigned_post(
            self._bucket, key, Conditions=[["content-length-range", 1, max_bytes]], ExpiresIn=seconds
        )
        return PresignedForm(made["url"], made["fields"])

    def presign_download(self, key: str, *, filename: str, seconds: int) -> str:
        """A link to one object, which browsers save as ``filename``, for ``seconds``."""
        return self._public_client.generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self._bucket,
                "Key": key,
                "ResponseContentDisposition": f'attachment; filename="{filename}"',
                "ResponseContentType": "application/x-ndjson",
            },
            ExpiresIn=seconds,
        )

    def abort_multiparts(self, prefix: str, *, before: datetime | None = None) -> int:
        """Drop uploads under ``prefix`` that were begun (before then) and never completed; returns how many."""
        pages = self._retried(
            lambda: list(
                self._client.get_paginator("list_multipart_uploads").paginate(
                    Bucket=self._bucket, Prefix=prefix, PaginationConfig={"PageSize": _UPLOADS_A_PAGE}
                )
            )
        )
        found = [upload for page in pages for upload in page.get("Uploads", [])]
        stray = [upload for upload in found if before is None or upload["Initiated"] < before]
        for upload in stray:
            MultipartUpload(self, upload["Key"], upload["UploadId"]).abort()
        return len(stray)

    def begin_multipart(self, key: str) -> MultipartUpload:
        """Begin an object that is put together from parts and appears when they are completed."""
        made = self._retried(
            lambda: self._client.create_multipart_upload(
                Bucket=self._bucket, Key=key, ContentType="application/x-ndjson"
            )
        )
        return MultipartUpload(self, key, made["UploadId"])


class MultipartUpload:
    """Parts, numbered from 1, of an object to be. Parts may be sent from several threads."""

    def __init__(self, store: ObjectStore, key: str, upload_id: str) -> None:
        self._store = store
        self._target: dict[str, Any] = {"Bucket": store._bucket, "Key": key, "UploadId": upload_id}
        self._etags: dict[int, str] = {}

    def put_part(self, number: int, body: Body) -> None:
        part = self._store._retried(
            lambda: self._store._client.upload_part(**self._target, PartNumber=number, Body=_from_start(body))
        )
        self._etags[number] = part["ETag"]

    def copy_part(self, number: int, source_key: str, *, etag: str) -> None:
        """A part that is a whole existing object, copied inside the storage.

        Raises ObjectChanged when the object's ETag is not ``etag``, or it is gone.
        """
        source: CopySourceTypeDef = {"Bucket": self._store._bucket, "Key": source_key}
        try:
            part = self._store._retried(
                lambda: self._store._client.upload_part_copy(
                    **self._target, PartNumber=number, CopySource=source, CopySourceIfMatch=etag
                )
            )
        except (ObjectMissing, _PreconditionFailed) as error:
            raise ObjectChanged from error
        self._etags[number] = part["CopyPartResult"]["ETag"]

    def complete(self) -> None:
        """Raises ObjectMissing when the upload was removed meanwhile."""
        parts: list[CompletedPartTypeDef] = [
            {"ETag": etag, "PartNumber": number} for number, etag in sorted(self._etags.items())
        ]
        try:
            self._store._retried(
                lambda: self._store._client.complete_multipart_upload(**self._target, MultipartUpload={"Parts": parts})
            )
        except ObjectMissing:
            # An earlier try may have completed it whose answer was lost: the object is there, the upload is not.
            if not self._store.exists(self._target["Key"]):
                raise

    def abort(self) -> None:
        """Give the upload up; one that is not there any more is no error."""
        with suppress(ObjectMissing):
            self._store._retried(lambda: self._store._client.abort_multipart_upload(**self._target))


def _from_start(body: Body) -> Body:
    """The whole of it, whatever an earlier try has read."""
    if not isinstance(body, bytes):
        body.seek(0)
    return body


# Making one takes 0.2 s, and a task that is handed a store would make its own.
@lru_cache(maxsize=8)
def _client_for(
    endpoint: str | None, region: str, access_key: str | None, secret: SecretStr | None, retry_seconds: float
) -> S3Client:
    client = boto3.session.Session().client(
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


class _PreconditionFailed(Exception):
    """The object is not the version that was asked for."""


def _raise_unless_transient(error: StorageError) -> None:
    if isinstance(error, ClientError):
        code = error.response.get("Error", {}).get("Code", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _MISSING or (status == 404 and code != "NoSuchBucket"):
            raise ObjectMissing from error
        if status in (412, 416):
            raise _PreconditionFailed from error
        if status >= 500 or code in _TRANSIENT_CODES:
            return
        raise StorageUnavailable(_REFUSED, reason=_reason(error)) from error
    if isinstance(error, NoCredentialsError):
        # A machine that was slow to tell its own may tell them to the next client.
        _client_for.cache_clear()
        raise StorageUnavailable(_REFUSED, reason=_NO_CREDENTIALS) from error
    if not isinstance(error, _TRANSIENT_ERRORS):
        raise error


def _gave_up(error: StorageError, seconds: float) -> str | None:
    if not isinstance(error, ClientError):
        return None
    said = f"The object storage was asked for {seconds:g} seconds, and failed each time."
    # Of a full disk some servers say no more than that something inside them failed.
    return f"{said} See whether it has free space." if error.operation_name in _STORING_CALLS else said


def _reason(error: StorageError) -> str:
    if isinstance(error, ClientError):
        found = error.response.get("Error", {})
        return f"{error.operation_name} answered {found.get('Code', '?')}: {found.get('Message', '')}"
    return str(error)
