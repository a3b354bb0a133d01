from __future__ import annotations

import pyarrow as pa
import pytest

from pipelines.dataset import ClassifierActor
from pipelines.driver import explain
from pipelines.exceptions import OtherArithmetic
from pipelines.job import InputVersion, JobConfig
from pipelines.job_input import JobInput
from pipelines.layout import JobPaths
from pipelines.object_store import ObjectStore
from pipelines.settings import Settings
from pipelines.shards import ShardOrigin


def test_a_node_whose_cpu_computes_otherwise_than_the_job_classifies_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.engines.minilm.arithmetic", lambda: "int8 and f32")
    monkeypatch.setattr("pipelines.dataset.node_resources", lambda: {"CPU": 1.0})
    monkeypatch.setattr("pipelines.dataset.limit_tokenizer_threads", lambda threads: None)
    settings = Settings(
        models=("minilm",), s3_endpoint="http://127.0.0.1:9", s3_access_key="none", s3_secret_key="none"
    )
    actor = ClassifierActor(
        ObjectStore(settings),
        settings,
        JobInput(JobPaths("acme", "batch_0000000000000000"), InputVersion(etag="one", size=1)),
        JobConfig(labels=("a", "b"), model="minilm"),
        ShardOrigin("one", "engine"),
        "int8 and bf16",
        1,
        None,
        {},
    )
    with pytest.raises(OtherArithmetic) as refused:
        actor(pa.table({"index": [0], "data": [b"{}"]}))
    told = explain(refused.value)
    assert "computes minilm in int8 and f32 where the job's plan says int8 and bf16" in told
    assert "one kind of CPU" in told
