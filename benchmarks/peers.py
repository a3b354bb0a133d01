"""Ours against what a user would write or pick instead: the same texts, model (all-MiniLM-L6-v2), labels and cores.

``python -m benchmarks.peers [--kind short] [--texts 4000]`` writes one NDJSON file and has each contestant answer it,
one after the other, in a process of its own. ``seconds`` is from the file to the last answer, with everything started:
a script's model is loaded, a cluster is up, but whatever loads the model for each job (ours, Ray Data's, Daft's) does
so within it. ``with_start`` is from the start of the process to its end. Peers embed the labels and texts and take the
nearest label; ours also calibrates. Wants the extra ``peers``; a peer that is not installed is left out. The last line
is JSON.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.texts import generated

LABELS = ["billing", "bug report", "praise", "feature request"]
_BATCH_SIZES = (32, 128)
_RAY_BATCH = 1024


def ours_in_a_job(file: Path, out: Path) -> float:
    """The service on a warm stack: start call to completed; upload and download are left out, as S3 is for peers."""
    from labelworks import Labelworks
    from serve_app.embedded.stack import embedded_stack

    with tempfile.TemporaryDirectory() as folder, embedded_stack(Path(folder)) as stack:
        client = Labelworks(base_url=stack.url, api_key=stack.api_key)
        job = client.batches.create(labels=LABELS)
        client.batches.upload(job, file)
        time.sleep(25)  # Until the spare driver, which a stack that runs has, is there.
        began = time.time()
        client.batches.start(job.job_id)
        completed = client.batches.wait(job.job_id).completed_at
        client.batches.download(job.job_id, out)
        return completed.timestamp() - began if completed else float("nan")


def ours_in_a_script(file: Path, out: Path) -> float:
    """The engine alone, called as a library."""
    from models.registry import load_engine
    from models.task import ClassificationTask

    classifier = load_engine("minilm").bind(ClassificationTask(labels=tuple(LABELS)))
    began = time.perf_counter()
    answers = classifier.classify(_texts(file))
    _write(out, [answer.labels[0].label for answer in answers])
    return time.perf_counter() - began


def sentence_transformers(file: Path, out: Path) -> float:
    """Its best batch size of those tried; ``encode`` sorts by length by itself."""
    model = _model()
    labels = model.encode(LABELS, normalize_embeddings=True)
    texts = _texts(file)
    sample = texts[: len(texts) // 10]
    size = min(_BATCH_SIZES, key=lambda size: _seconds(lambda: model.encode(sample, batch_size=size)))
    began = time.perf_counter()
    vectors = model.encode(_texts(file), batch_size=size, normalize_embeddings=True)
    _write(out, [LABELS[best] for best in (vectors @ labels.T).argmax(axis=1)])
    return time.perf_counter() - began


class NearestLabel:
    """What Ray's guide to batch inference calls a predictor."""

    def __init__(self) -> None:
        self.model = _model()
        self.labels = self.model.encode(LABELS, normalize_embeddings=True)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        vectors = self.model.encode(list(batch["text"]), normalize_embeddings=True)
        return {"label": np.array(LABELS)[(vectors @ self.labels.T).argmax(axis=1)]}


def ray_data(file: Path, out: Path) -> float:
    """read_json, map_batches with one actor on all cores, write_json."""
    import ray

    ray.init(include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    began = time.perf_counter()
    (
        ray.data.read_json(str(file), lines=True)
        .map_batches(NearestLabel, batch_size=_RAY_BATCH, compute=ray.data.ActorPoolStrategy(size=1), num_cpus=1)
        .write_json(str(out))
    )
    took = time.perf_counter() - began
    ray.shutdown()
    return took


def daft(file: Path, out: Path) -> float:
    """embed_text with Daft's own provider ``transformers``, given the folder of the weights, then the nearest label."""
    import daft as engine
    from daft.functions import embed_text

    labels = _model().encode(LABELS, normalize_embeddings=True)
    began = time.perf_counter()
    frame = engine.read_json(str(file)).with_column(
        "vector", embed_text(engine.col("text"), provider="transformers", model=str(_folder()))
    )
    vectors = np.array(frame.to_pydict()["vector"], np.float32)
    _write(out, [LABELS[best] for best in (vectors @ labels.T).argmax(axis=1)])
    return time.perf_counter() - began


CONTESTANTS: dict[str, tuple[str, Callable[[Path, Path], float]]] = {
    "labelworks job": ("openvino", ours_in_a_job),
    "labelworks engine": ("openvino", ours_in_a_script),
    "sentence-transformers script": ("sentence_transformers", sentence_transformers),
    "Ray Data recipe": ("sentence_transformers", ray_data),
    "Daft embed_text": ("daft", daft),
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--kind", default="short", help="short, mixed or long texts")
    arguments.add_argument("--texts", type=int, default=4_000)
    arguments.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    arguments.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    told = arguments.parse_args()
    if told.contestant:
        seconds = CONTESTANTS[told.contestant][1](told.file, told.file.with_suffix(".answers"))
        print(json.dumps({"seconds": seconds}))
        return
    measured: dict[str, dict[str, float]] = {}
    for name, (package, _) in CONTESTANTS.items():
        if importlib.util.find_spec(package) is None:
            print(f"{name} is left out: {package} is not installed (extra peers)")
            continue
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "texts.ndjson"
            file.write_text("".join(json.dumps({"text": text}) + "\n" for text in generated(told.kind, told.texts)))
            measured[name] = _run(name, file)
        print(
            f"{name:30}{measured[name]['seconds']:8.1f} s{measured[name]['with_start']:8.1f} s with start", flush=True
        )
    ours = measured["labelworks job"]["seconds"]
    for figures in measured.values():
        figures["times_our_job"] = round(figures["seconds"] / ours, 2)
    print(json.dumps({"kind": told.kind, "texts": told.texts, "measured": measured}))


def _run(name: str, file: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.peers", "--contestant", name, "--file", str(file)]
    began = time.perf_counter()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    whole = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{name} failed: {done.stderr[-2000:]}")
    seconds = float(json.loads(done.stdout.splitlines()[-1])["seconds"])
    return {"seconds": round(seconds, 2), "with_start": round(whole, 2)}


def _folder() -> Path:
    from models.engines.minilm import WEIGHTS
    from models.weights import locate

    return locate(WEIGHTS, None)["model.safetensors"].parent


def _model() -> Any:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(_folder()), device="cpu")
    model.max_seq_length = 256
    return model


def _texts(file: Path) -> list[str]:
    return [json.loads(line)["text"] for line in file.read_text().splitlines()]


def _write(out: Path, labels: list[str]) -> None:
    out.write_text("".join(json.dumps({"label": label}) + "\n" for label in labels))


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
