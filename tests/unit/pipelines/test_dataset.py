"""What a classifier actor says instead of classifying; the rest of it needs Ray."""

from __future__ import annotations

import platform
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from models.fingerprint import engine_fingerprint, installed_code
from pipelines.dataset import ClassifierActor
from pipelines.driver import explain
from pipelines.engines import fingerprint_for
from pipelines.exceptions import ModelFailed, OtherArithmetic, OtherEngine
from pipelines.job import InputVersion, JobConfig
from pipelines.job_input import JobInput
from pipelines.layout import JobPaths
from pipelines.object_store import ObjectStore
from pipelines.settings import Settings
from pipelines.shards import ShardOrigin

RANGE = pa.table({"index": [0], "data": [b"{}"]})


class Watcher:
    """A driver that has seen the classifier's process die so often while it loaded."""

    def __init__(self, deaths: int) -> None:
        self.ended: list[str] = []
        self.begin_load = SimpleNamespace(remote=lambda classifier: deaths)
        self.load_ended = SimpleNamespace(remote=self.ended.append)


def actor_of(
    model: str,
    arithmetic: str,
    weights: dict[str, str] | None = None,
    *,
    engine: str = "engine",
    timeout_seconds: float = 900.0,
    watcher: Watcher | None = None,
    gpus: int = 0,
) -> ClassifierActor:
    settings = Settings(
        classifier_gpus=gpus,
        models=(model,),
        model_weights=weights or {},
        classifier_timeout_seconds=timeout_seconds,
        s3_endpoint="http://127.0.0.1:9",
        s3_access_key="none",
        s3_secret_key="none",
    )
    return ClassifierActor(
        ObjectStore(settings),
        settings,
        JobInput(JobPaths("acme", "batch_0000000000000000"), InputVersion(etag="one", size=1)),
        JobConfig(labels=("a", "b"), model=model),
        ShardOrigin("one", engine),
        arithmetic,
        1,
        watcher or Watcher(deaths=0),
        {},
    )


@pytest.fixture(autouse=True)
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    context = SimpleNamespace(get_actor_id=lambda: "one")
    ray = SimpleNamespace(get_runtime_context=lambda: context, get=lambda answer: answer)
    monkeypatch.setattr("pipelines.dataset.ray", ray)
    monkeypatch.setattr("pipelines.dataset.node_resources", lambda: {"CPU": 1.0})
    monkeypatch.setattr("pipelines.dataset.limit_tokenizer_threads", lambda threads: None)


def test_a_node_whose_cpu_computes_otherwise_than_the_job_classifies_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.engines.minilm.arithmetic", lambda: "int8 by VNNI and f32")
    actor = actor_of("minilm", "int8 by VNNI and bf16")
    with pytest.raises(OtherArithmetic) as refused:
        actor(RANGE)
    told = explain(refused.value).error
    assert "computes minilm in int8 by VNNI and f32 where the job's plan says int8 by VNNI and bf16" in told
    assert "one kind of CPU" in told


def test_a_job_whose_models_weights_are_not_on_a_node_is_told_what_lacks(tmp_path: Path) -> None:
    actor = actor_of("static", "", {"static": str(tmp_path)})
    with pytest.raises(ModelFailed) as failed:
        actor(RANGE)
    assert f"{tmp_path} lacks l2_supercat_256.safetensors" in explain(failed.value).error


def test_a_job_whose_model_needs_what_is_not_installed_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_models").mkdir()
    (tmp_path / "own_models" / "mine.py").write_text("def load(threads, weights):\n    import not_installed\n")
    actor = actor_of("own_models.mine", "")
    with pytest.raises(ModelFailed) as failed:
        actor(RANGE)
    assert "own_models.mine cannot be used on node" in explain(failed.value).error
    assert "not_installed" in explain(failed.value).error


def test_a_job_whose_labels_hang_its_model_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_engines").mkdir()
    (tmp_path / "own_engines" / "hanging.py").write_text(
        "import time\nclass Engine:\n    def bind(self, task):\n        time.sleep(30)\n"
        "def load(threads, weights):\n    return Engine()\n"
    )
    actor = actor_of("own_engines.hanging", "", timeout_seconds=0.1)
    with pytest.raises(ModelFailed) as failed:
        actor(RANGE)
    assert "own_engines.hanging cannot be used on node" in explain(failed.value).error
    assert "examples within 0.1 s" in explain(failed.value).error


_ENGINE_FOR_GPUS = """
from models.protocol import EngineInfo

USES_GPU = True

class Engine:
    def __init__(self, device):
        self.info = EngineInfo("mine", device)
    def bind(self, task):
        return "bound"

def load(threads, weights):
    return Engine("{device}")
"""


def own_engine_for_gpus(folder: Path, monkeypatch: pytest.MonkeyPatch, *, on: str) -> str:
    monkeypatch.syspath_prepend(str(folder))
    (folder / f"engines_on_{on}").mkdir()
    (folder / f"engines_on_{on}" / "mine.py").write_text(_ENGINE_FOR_GPUS.replace("{device}", on))
    return f"engines_on_{on}.mine"


def test_a_node_whose_gpu_cannot_be_used_classifies_nothing_on_its_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = own_engine_for_gpus(tmp_path, monkeypatch, on="cpu")
    with pytest.raises(ModelFailed) as failed:
        actor_of(model, "on a GPU", gpus=1)(RANGE)
    told = explain(failed.value).error
    assert f"{model} cannot be used on node {platform.node()}: this node offers a GPU that torch cannot use" in told
    assert "nvidia-smi" in told
    assert "start the job again" in told


def test_an_engine_for_gpus_is_used_on_a_gpu_and_where_jobs_are_given_none_on_a_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_gpu = own_engine_for_gpus(tmp_path, monkeypatch, on="cuda")
    on_cpu = own_engine_for_gpus(tmp_path, monkeypatch, on="cpu")
    # What they refuse for comes after the engine, which is as it should be.
    for actor in (actor_of(on_gpu, "on a GPU", gpus=1), actor_of(on_cpu, "", gpus=0)):
        with pytest.raises(OtherEngine):
            actor(RANGE)


def test_a_model_whose_process_died_over_and_over_while_it_loaded_is_not_loaded_again_and_the_job_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipelines.dataset.engine_for", lambda *_: pytest.fail("loaded"))
    watcher = Watcher(deaths=3)
    actor = actor_of("static", "", watcher=watcher)
    with pytest.raises(ModelFailed) as failed:
        actor(RANGE)
    told = explain(failed.value).error
    assert f"static cannot be used on node {platform.node()}: its process died 3 times while it loaded" in told
    assert "memory" in told
    assert "Start the job again" in told
    assert watcher.ended == ["one"]


def test_a_model_that_loads_after_deaths_is_used() -> None:
    watcher = Watcher(deaths=2)
    actor = actor_of("static", "", engine=fingerprint_for(Settings(), "static", ""), watcher=watcher)
    assert watcher.ended == ["one"]
    with pytest.raises(AttributeError, match="begin_range"):
        actor(RANGE)


def test_a_node_with_another_version_of_the_engine_than_the_plan_classifies_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planned = fingerprint_for(Settings(), "static", "")
    monkeypatch.setattr("models.fingerprint._version", lambda distribution: "0.0.1")
    engine_fingerprint.cache_clear()
    installed_code.cache_clear()
    actor = actor_of("static", "", engine=planned)
    engine_fingerprint.cache_clear()
    installed_code.cache_clear()
    with pytest.raises(OtherEngine) as refused:
        actor(RANGE)
    told = explain(refused.value).error
    assert f"Node {platform.node()} has another version of the model static or its libraries" in told
    assert "ray up" in told
    assert "start the job again" in told


def test_a_node_with_the_plans_version_of_the_engine_goes_on_to_classify() -> None:
    actor = actor_of("static", "", engine=fingerprint_for(Settings(), "static", ""))
    with pytest.raises(AttributeError, match="begin_range"):
        actor(RANGE)
