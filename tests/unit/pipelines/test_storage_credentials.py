"""What becomes of a call while a machine renews its credentials, which no server here can be made to do."""

from __future__ import annotations

import pytest
from botocore.exceptions import BotoCoreError, ClientError, CredentialRetrievalError, NoCredentialsError

from pipelines.exceptions import StorageUnavailable
from pipelines.object_store.connection import BucketConnection
from pipelines.settings import Settings


@pytest.mark.parametrize(
    "error",
    [
        CredentialRetrievalError(provider="iam-role", error_msg="timed out"),
        ClientError({"Error": {"Code": "ExpiredToken"}, "ResponseMetadata": {"HTTPStatusCode": 400}}, "PutObject"),  # type: ignore[typeddict-item]
    ],
)
def test_a_call_is_tried_again_while_they_are_renewed(error: BotoCoreError | ClientError) -> None:
    failures: list[Exception] = [error]

    def call() -> str:
        if failures:
            raise failures.pop()
        return "done"

    assert BucketConnection(Settings()).retried(call) == "done"


def test_a_process_that_had_none_asks_for_them_again_with_its_next_call() -> None:
    connection = BucketConnection(Settings(s3_access_key="a", s3_secret_key="b"))  # type: ignore[arg-type]
    first = connection.client

    def call() -> None:
        raise NoCredentialsError

    with pytest.raises(StorageUnavailable, match="no credentials"):
        connection.retried(call)

    assert connection.client is not first
