"""What is told of a storage that fails: a sentence to clients, the reason to operators."""

from __future__ import annotations

import pickle

import pytest
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, NoCredentialsError
from urllib3.exceptions import SSLError

from pipelines.driver import explain
from pipelines.exceptions import StorageUnavailable
from pipelines.object_store.connection import BucketConnection
from pipelines.settings import Settings

KEY = "http://minio.internal:9000/labelworks/accounts/keys/0123.json"
ROLE = "arn:aws:sts::123456789012:assumed-role/labelworks-head/i-0abc"


def client_error(code: str, status: int, operation: str) -> ClientError:
    answer = {"Error": {"Code": code, "Message": f"User: {ROLE}"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, operation)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "message", "reason"),
    [
        (EndpointConnectionError(endpoint_url=KEY), "The object storage does not answer. Try again shortly.", KEY),
        (
            SSLError("decryption failed in the middle of a body"),
            "The object storage does not answer. Try again shortly.",
            "decryption failed",
        ),
        (
            client_error("AccessDenied", 403, "GetObject"),
            "The object storage refused a call. The service's operator finds the reason in its log.",
            f"GetObject answered AccessDenied: User: {ROLE}",
        ),
        (
            client_error("NotImplemented", 501, "PutObject"),
            "The object storage refused a call. The service's operator finds the reason in its log.",
            f"PutObject answered NotImplemented: User: {ROLE}",
        ),
        (
            client_error("ConditionalRequestConflict", 409, "GetObject"),
            "The object storage was asked for 0.01 seconds, and failed each time.",
            f"GetObject answered ConditionalRequestConflict: User: {ROLE}",
        ),
        (
            client_error("SlowDown", 503, "GetObject"),
            "The object storage was asked for 0.01 seconds, and failed each time.",
            f"GetObject answered SlowDown: User: {ROLE}",
        ),
        (
            client_error("InternalError", 500, "PutObject"),
            "The object storage was asked for 0.01 seconds, and failed each time. See whether it has free space.",
            f"PutObject answered InternalError: User: {ROLE}",
        ),
        (
            NoCredentialsError(),
            "The object storage refused a call. The service's operator finds the reason in its log.",
            "set LABELWORKS_S3_ACCESS_KEY and LABELWORKS_S3_SECRET_KEY",
        ),
    ],
)
def test_a_failure_of_the_storage_tells_its_reason_to_operators_alone(
    error: BotoCoreError | ClientError | SSLError, message: str, reason: str
) -> None:
    def call() -> None:
        raise error

    with pytest.raises(StorageUnavailable) as failed:
        BucketConnection(Settings(), 0.01).retried(call)
    # As a client of the API sees it, and the owner of a job; and as both get it from another process.
    for seen in (failed.value, pickle.loads(pickle.dumps(failed.value))):
        assert (seen.message, seen.details, explain(seen).error) == (message, {}, message)
        assert str(seen).startswith(f"{message} Reason: ")
        assert reason in str(seen)
