"""An engine on a GPU: tokens a second, how busy the GPU is, and how long it waits for tokenization.

    python -m benchmarks.gpu [--engine embedding] [--weights FOLDER] [--shape base] [--texts 10000,100000,1000000]

Without ``--weights`` a BERT of the shape ``tiny``, ``minilm``, ``base`` or ``large`` with random weights and MiniLM's
tokenizer runs: speed does not depend on what weights know. The texts are the mixed ones of ``benchmarks.texts``. On a
GPU the share of its peak is that of the weights' products alone, in the fastest matrix product that torch does there.
Where sentence-transformers is installed, its ``encode()`` runs the weights of ``embedding`` on the first size too, as
it comes and in bfloat16 with large batches. In any case it tells about what one process here hands to a GPU: its texts
tokenized and put into batches that nothing computes. Without a GPU it says so and runs the same code on the CPU with a
tiny model and few texts: the other figures then say nothing of a GPU. The last line printed is JSON.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Any

from benchmarks.random_models import ENGINES, SHAPES, save_random_model
from benchmarks.texts import generated
from models.engines import minilm
from models.lookahead import Waits
from models.on_torch.device import TorchDevice
from models.on_torch.text_stream import Buckets, RowBatch, TextStream, special_tokens
from models.processors import usable_processors
from models.registry import load_engine, load_token_counter
from models.task import ClassificationTask
from models.weights import model_folder

LABELS = ("billing problem", "delivery", "technical issue", "praise", "sport", "business news")
TARGET_BYTES = 5 * 2**30
TARGET_MINUTES = 15
_PEER_BATCHES = {"as it comes": (None, 32), "bfloat16, batches of 256": ("bfloat16", 256)}
"""Arithmetic (None: the library's own choice) and texts a batch."""
_FED = {"short": 20_000, "mixed": 10_000}
_OUTPUTS = 768
_PRODUCT = 8_192
_PRODUCTS = 20
_WINDOW = 512


@dataclass(frozen=True, slots=True)
class Figures:
    """One size. ``waiting``: share of the time in which no batch was tokenized for the device. ``busy``: the GPU's
    own account of its utilisation, 0-1. ``minutes`` and ``devices``: what 5 GB of such texts would take on one
    device, and how many would do it in 15 minutes."""

    texts: int
    tokens: int
    seconds: float
    tokens_per_second: float
    waiting: float
    busy: float | None
    minutes: float
    devices: int


def main() -> None:
    options = _options()
    device = _device()
    if device == "cpu":
        print("There is no GPU here. The same code runs on the CPU, with a tiny model and few texts:")
    shape = options.shape if device != "cpu" else "tiny"
    sizes = options.texts or ((10_000, 100_000, 1_000_000) if device != "cpu" else (100, 400))
    with tempfile.TemporaryDirectory() as folder:
        weights = options.weights or folder
        if not options.weights:
            save_random_model(Path(folder), options.engine, shape)
        engine: Any = load_engine(options.engine, weights=weights)
        classifier = engine.bind(ClassificationTask(LABELS))
        classifier.classify(generated("mixed", min(sizes[0], 10_000)))
        rows = [_measure(engine, classifier, generated("mixed", size)) for size in sizes]
        for row in rows:
            busy = "unknown" if row.busy is None else f"{row.busy:.0%}"
            print(
                f"{row.texts:>9,} texts  {row.tokens_per_second:>11,.0f} tokens/s  GPU busy {busy}, waiting for "
                f"tokenization {row.waiting:.1%}  5 GB: {row.minutes:,.0f} min on one device, "
                f"{row.devices} for {TARGET_MINUTES} min"
            )
        peers = _peers(weights, generated("mixed", sizes[0])) if options.engine == "embedding" else {}
    best = max(row.tokens_per_second for row in rows)
    fed = {kind: _fed(generated(kind, texts)) for kind, texts in _FED.items()}
    for kind, speed in fed.items():
        print(f"a process on {usable_processors()} processors feeds a GPU {speed:,.0f} tokens/s of {kind} texts")
    named = {"engine": options.engine, "model": options.weights or f"random, {shape}", "device": device}
    figures: dict[str, Any] = {"sizes": [asdict(row) for row in rows], "fed": fed}
    if device != "cpu" and options.engine == "embedding" and not options.weights:
        hidden, layers, _ = SHAPES[shape]
        figures["peak"] = _matrix_peak()
        figures["share_of_peak"] = best * 2 * 12 * layers * hidden**2 / figures["peak"]
        print(f"{figures['share_of_peak']:.0%} of the GPU's {figures['peak'] / 1e12:,.0f} TFLOP/s")
    if peers:
        figures["sentence_transformers"] = peers
        figures["ratios"] = {name: rows[0].tokens_per_second / speed for name, speed in peers.items()}
        for name, speed in peers.items():
            print(f"sentence-transformers, {name}: {speed:,.0f} tokens/s, ours {figures['ratios'][name]:.1f} times")
    print(json.dumps(named | figures))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="embedding", help="one of those that need torch")
    parser.add_argument("--weights", help="a folder or hub name; needed for the engine llm")
    parser.add_argument("--shape", choices=SHAPES, default="base")
    parser.add_argument("--texts", type=lambda value: tuple(int(size) for size in value.split(",")))
    options = parser.parse_args()
    if options.engine not in ENGINES and not options.weights:
        parser.error(f"name the weights of {options.engine} with --weights")
    return options


def _device() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def _matrix_peak() -> float:
    """Operations a second of a large product in bfloat16, on random numbers."""
    import torch

    left, right = (torch.randn(_PRODUCT, _PRODUCT, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    torch.matmul(left, right)
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(_PRODUCTS):
        torch.matmul(left, right)
    torch.cuda.synchronize()
    return _PRODUCTS * 2.0 * _PRODUCT**3 / (time.perf_counter() - start)


def _fed(texts: list[str]) -> float:
    """Tokens a second that are tokenized, put into a GPU's batches and answered, by a model that computes nothing."""
    import torch

    def forward(batch: RowBatch) -> Any:
        return torch.zeros(len(batch.ids), _OUTPUTS)

    shapes = Buckets.up_to(_WINDOW, TorchDevice("cuda", torch.bfloat16))
    tokenizer = minilm.load_token_counter(None)
    stream = TextStream(tokenizer, forward, TorchDevice("cpu", torch.float32), _WINDOW, shapes, Waits())
    start = time.perf_counter()
    _, tokens = stream.read(texts, [special_tokens(tokenizer, 0)])
    return int(tokens.sum()) / (time.perf_counter() - start)


def _peers(weights: str, texts: list[str]) -> dict[str, float]:
    """Tokens a second of sentence-transformers, which reads a text's first window alone: no others are counted."""
    if not importlib.util.find_spec("sentence_transformers"):
        return {}
    from sentence_transformers import SentenceTransformer

    tokens = sum(min(count, _WINDOW - 2) for count in load_token_counter("embedding", weights=weights).count(texts))
    speeds = {}
    for name, (arithmetic, batch) in _PEER_BATCHES.items():
        model = SentenceTransformer(
            str(model_folder(weights)), model_kwargs={"dtype": arithmetic} if arithmetic else {}
        )
        model.max_seq_length = _WINDOW
        model.encode(texts[: len(texts) // 10], batch_size=batch)
        start = time.perf_counter()
        model.encode(texts, batch_size=batch)
        speeds[name] = tokens / (time.perf_counter() - start)
    return speeds


def _measure(engine: Any, classifier: Any, texts: list[str]) -> Figures:
    waited_before = engine.waits.seconds
    with _utilisation() as busy:
        start = time.perf_counter()
        tokens = sum(prediction.tokens for prediction in classifier.classify(texts))
        seconds = time.perf_counter() - start
    speed = tokens / seconds
    bytes_a_token = sum(len(text.encode()) for text in texts) / tokens
    minutes = TARGET_BYTES / bytes_a_token / speed / 60
    return Figures(
        len(texts),
        tokens,
        seconds,
        speed,
        (engine.waits.seconds - waited_before) / seconds,
        sum(busy) / len(busy) / 100 if busy else None,
        minutes,
        ceil(minutes / TARGET_MINUTES),
    )


@contextmanager
def _utilisation() -> Iterator[list[float]]:
    """What nvidia-smi says of the first GPU, five times a second; empty where there is no such program."""
    seen: list[float] = []
    program = shutil.which("nvidia-smi")
    if program is None:
        yield seen
        return
    command = [program, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "200", "-i", "0"]
    watching = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def read() -> None:
        assert watching.stdout is not None
        seen.extend(float(line) for line in watching.stdout if line.strip().isdigit())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield seen
    finally:
        watching.terminate()
        watching.wait()
        reader.join()


if __name__ == "__main__":
    main()
