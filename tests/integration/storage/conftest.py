"""Two real S3 servers: the embedded gateway, and moto's, which honours what the gateway ignores."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from pipelines.object_store import ObjectStore
from pipelines.settings import Settings
from serve_app.embedded.gateway import S3Gateway
from serve_app.embedded.ports import free_port
from tests.faults.tcp_proxy import FaultyProxy


@dataclass(frozen=True)
class S3Server:
    """A server's address and keys."""

    name: str
    endpoint: str
    access_key: str
    secret_key: str

    def settings(self, *, endpoint: str | None = None, bucket: str = "labelworks") -> Settings:
        return Settings(
            s3_endpoint=endpoint or self.endpoint,
            s3_access_key=self.access_key,
            s3_secret_key=SecretStr(self.secret_key),
            s3_bucket=bucket,
        )


@pytest.fixture(scope="session")
def gateway_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    secret = secrets.token_hex(20)
    folder = tmp_path_factory.mktemp("gateway")
    with S3Gateway(folder, port=free_port(), access_key="labelworks", secret_key=secret) as gateway:
        yield S3Server("gateway", gateway.endpoint, "labelworks", secret)


@contextmanager
def running_moto() -> Iterator[S3Server]:
    """All of a process's share their buckets."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield S3Server("moto", f"http://{host}:{port}", "anyone", "anything")
    finally:
        server.stop()


def bucket_of_its_own(moto: S3Server) -> Settings:
    """Settings of a new bucket, whose rules and policy are no other test's."""
    settings = moto.settings(bucket=f"of-its-own-{secrets.token_hex(4)}")
    ObjectStore(settings).ensure_bucket()
    return settings


def refuse(bucket: Settings, action: str, keys: str) -> None:
    """Have the bucket's policy refuse an action on some keys, of which moto knows s3:GetObject and s3:PutObject."""
    resource = f"arn:aws:s3:::{bucket.s3_bucket}/{keys}"
    statement = {"Effect": "Deny", "Principal": "*", "Action": action, "Resource": resource}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    ObjectStore(bucket)._s3.client.put_bucket_policy(Bucket=bucket.s3_bucket, Policy=policy)


@pytest.fixture(scope="session")
def moto_server() -> Iterator[S3Server]:
    with running_moto() as server:
        yield server


@pytest.fixture(params=["gateway", "moto"])
def server(request: pytest.FixtureRequest) -> S3Server:
    found: S3Server = request.getfixturevalue(f"{request.param}_server")
    return found


def connected(server: S3Server) -> ObjectStore:
    store = ObjectStore(server.settings(), retry_seconds=5)
    store.ensure_bucket()
    return store


@pytest.fixture(scope="session")
def gateway_store(gateway_server: S3Server) -> ObjectStore:
    return connected(gateway_server)


@pytest.fixture(scope="session")
def moto_store(moto_server: S3Server) -> ObjectStore:
    return connected(moto_server)


@pytest.fixture
def store(server: S3Server, request: pytest.FixtureRequest) -> ObjectStore:
    found: ObjectStore = request.getfixturevalue(f"{server.name}_store")
    return found


@pytest.fixture
def proxy(server: S3Server) -> Iterator[FaultyProxy]:
    with FaultyProxy(server.endpoint) as proxy:
        yield proxy


@pytest.fixture
def unsteady_store(server: S3Server, store: ObjectStore, proxy: FaultyProxy) -> ObjectStore:
    """The bucket of ``store``, reached through ``proxy``."""
    return ObjectStore(server.settings(endpoint=proxy.endpoint), retry_seconds=20)


@pytest.fixture
def prefix() -> str:
    """Keys of this test only."""
    return f"test/{secrets.token_hex(8)}/"
