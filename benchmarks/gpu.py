"""An engine on a GPU: tokens a second, how busy the GPU is, and how long it waits for tokenization.

    python -m benchmarks.gpu [--engine embedding] [--weights FOLDER] [--shape base] [--texts 10000,100000,1000000]

Without ``--weights`` the engine ``embedding`` runs a BERT of the shape ``tiny``, ``base`` or ``large`` with random
weights and MiniLM's tokenizer: speed does not depend on what weights know. The texts are the mixed ones of
``benchmarks.texts``. Without a GPU it says so and runs the same code on the CPU with a tiny model and few texts: its
figures then say nothing of a GPU. The last line printed is JSON.
"""

from __future__ import annotations

import argparse
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

from benchmarks.texts import generated
from models.engines.minilm import WEIGHTS
from models.registry import load_engine
from models.task import ClassificationTask
from models.weights import locate

LABELS = ("billing problem", "delivery", "technical issue", "praise", "sport", "business news")
SHAPES = {"tiny": (128, 2, 2), "base": (768, 12, 12), "large": (1_024, 24, 16)}
"""Hidden size, layers and attention heads."""
TARGET_BYTES = 5 * 2**30
TARGET_MINUTES = 15


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
        weights = options.weights or _random_model(Path(folder), shape)
        engine: Any = load_engine(options.engine, weights=str(weights))
        classifier = engine.bind(ClassificationTask(LABELS))
        classifier.classify(generated("mixed", min(sizes[0], 1_000)))
        rows = [_measure(engine, classifier, generated("mixed", size)) for size in sizes]
    for row in rows:
        busy = "unknown" if row.busy is None else f"{row.busy:.0%}"
        print(
            f"{row.texts:>9,} texts  {row.tokens_per_second:>11,.0f} tokens/s  GPU busy {busy}, waiting for "
            f"tokenization {row.waiting:.1%}  5 GB: {row.minutes:,.0f} min on one device, "
            f"{row.devices} for {TARGET_MINUTES} min"
        )
    named = {"engine": options.engine, "model": options.weights or f"random, {shape}", "device": device}
    print(json.dumps(named | {"sizes": [asdict(row) for row in rows]}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="embedding", help="one of those that need torch")
    parser.add_argument("--weights", help="a folder or hub name; needed for engines other than embedding")
    parser.add_argument("--shape", choices=SHAPES, default="base")
    parser.add_argument("--texts", type=lambda value: tuple(int(size) for size in value.split(",")))
    options = parser.parse_args()
    if options.engine != "embedding" and not options.weights:
        parser.error(f"name the weights of {options.engine} with --weights")
    return options


def _device() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def _random_model(folder: Path, shape: str) -> Path:
    from transformers import BertConfig, BertModel

    hidden, layers, heads = SHAPES[shape]
    config = BertConfig(
        hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=4 * hidden
    )
    BertModel(config).save_pretrained(folder)
    shutil.copy(locate(WEIGHTS, None, ("tokenizer.json",))["tokenizer.json"], folder)
    return folder


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
