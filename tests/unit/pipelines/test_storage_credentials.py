"""What becomes of a call while a machine renews its credentials, which no server here can be made to do."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError, CredentialRetrievalError

from pipelines.exceptions import StorageUnavailable
from pipelines.object_store import ObjectStore, connection
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


PRESIGNED: list[Callable[[ObjectStore], Any]] = [
    lambda store: store.presign_upload("a", max_bytes=1, seconds=60),
    lambda store: store.presign_download("a", filename="a", seconds=60),
]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for the program that tells the credentials; without one there are none."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    connection._client_for.cache_clear()
    yield tmp_path
    connection._client_for.cache_clear()


def tell_credentials(machine: Path, *, failing_at_first: bool = False) -> None:
    program, asked = machine / "program", machine / "asked"
    if not failing_at_first:
        asked.touch()
    told = '{"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b"}'
    program.write_text(f"#!/bin/sh\n[ -e {asked} ] || {{ touch {asked}; exit 1; }}\necho '{told}'\n")
    program.chmod(stat.S_IRWXU)
    (machine / "config").write_text(f"[default]\ncredential_process = {program}\n")


@pytest.mark.parametrize("presigned", PRESIGNED)
def test_a_form_and_a_link_are_tried_again_while_they_are_renewed(
    machine: Path, presigned: Callable[[ObjectStore], Any]
) -> None:
    tell_credentials(machine, failing_at_first=True)
    assert presigned(ObjectStore(Settings(), retry_seconds=60))


@pytest.mark.parametrize("presigned", PRESIGNED)
def test_a_process_that_had_none_asks_for_them_again_with_its_next_call(
    machine: Path, presigned: Callable[[ObjectStore], Any]
) -> None:
    store = ObjectStore(Settings())
    with pytest.raises(StorageUnavailable, match="no credentials"):
        presigned(store)
    tell_credentials(machine)
    assert presigned(store)
