"""Every installed engine against sentence-transformers' own ``encode()``, on the same texts and cores in one run.

    python -m benchmarks.engines [--texts N] [--seconds S] [--threads T] [--engines minilm,static] [--data FOLDER]

Each engine runs in a process of its own, so that its load time and peak memory are its own. Texts are classified to
six labels, so scoring and decision are in the figures; sentence-transformers (extra ``peers``) only encodes. The
engines take turns, ``--rounds`` times, and the best round counts: other load on the machine can only slow one down.
Tokens are a text's own; what is said of the matrix-product peak also counts the two special ones of each window, which
have to be computed like any other, and attention. Seconds are wall-clock seconds.
Prints a table, and as the last line the figures as JSON.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks.matmul_peak import int8_peak
from benchmarks.texts import from_folder, generated
from models.exceptions import ModelUnavailable
from models.processors import usable_processors
from models.protocol import Counts
from models.registry import engine_names, load_engine, load_token_counter
from models.task import ClassificationTask
from models.tokenization import cut_windows

KINDS = ("short", "mixed", "long")
PEER = "sentence-transformers"
LABELS = ("billing problem", "delivery", "technical issue", "praise", "sport", "business news")
WINDOW, SPECIAL_TOKENS = 256, 2


@dataclass(frozen=True, slots=True)
class Figures:
    """What one engine did with one kind of texts. ``peak_share`` is None for what has no MiniLM in it, ``times_peer``
    where sentence-transformers is not installed."""

    engine: str
    texts: str
    tokens_per_second: float
    texts_per_second: float
    load_seconds: float
    peak_memory_mb: float
    peak_share: float | None
    times_peer: float | None = None


class Contestant(Protocol):
    def classify(self, texts: list[str]) -> int:
        """The tokens of the texts, once they are done."""
        ...


class Ours:
    def __init__(self, name: str, threads: int) -> None:
        self._classifier = load_engine(name, threads=threads).bind(ClassificationTask(LABELS))

    def classify(self, texts: list[str]) -> int:
        return sum(prediction.tokens for prediction in self._classifier.classify(texts))


class Peer:
    """MiniLM as its users know it; tokens are counted by the engine ``minilm`` outside the measured time."""

    def __init__(self, threads: int) -> None:
        import torch
        from sentence_transformers import SentenceTransformer

        from models.engines.minilm import WEIGHTS
        from models.weights import locate

        torch.set_num_threads(threads)
        folder = locate(WEIGHTS, None)["model.safetensors"].parent
        self._model = SentenceTransformer(str(folder), device="cpu")
        self._model.max_seq_length = 256

    def classify(self, texts: list[str]) -> int:
        self._model.encode(texts)
        return 0


def main() -> None:
    options = _options()
    threads = options.threads or usable_processors()
    texts = {kind: _texts(options, kind) for kind in KINDS}
    names = [name for name in options.engines if _installed(name)]
    peak = int8_peak(threads)
    measured: dict[tuple[str, str], Figures] = {}
    for _ in range(options.rounds):
        for name in names:
            for kind in KINDS:
                new = _measure_apart(name, kind, texts[kind], options.seconds, threads)
                old = measured.get((name, kind))
                if old is None or new.tokens_per_second > old.tokens_per_second:
                    measured[name, kind] = new
        peak = max(peak, int8_peak(threads))
    rows = [_completed(row, measured, texts[row.texts], peak) for row in measured.values()]
    _print_table(rows, peak)
    engines = [{key: _rounded(value) for key, value in asdict(row).items()} for row in rows]
    print(json.dumps({"threads": threads, "int8_peak_gops": round(peak / 1e9), "engines": engines}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", type=lambda value: value.split(","), default=[PEER, *engine_names()])
    parser.add_argument("--texts", type=int, default=2_000, help="short texts; mixed and long ones are fewer")
    parser.add_argument("--seconds", type=float, default=10, help="the least time an engine works on a kind of texts")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, help="default: the processors this process may use")
    parser.add_argument("--data", type=Path, help="a folder with .txt files, one text a line, as the mixed texts")
    return parser.parse_args()


def _texts(options: argparse.Namespace, kind: str) -> list[str]:
    count = {"short": options.texts, "mixed": options.texts // 2, "long": options.texts // 16}[kind]
    return from_folder(options.data, count) if options.data and kind == "mixed" else generated(kind, max(count, 8))


def _installed(name: str) -> bool:
    if name == PEER:
        found = importlib.util.find_spec("sentence_transformers") is not None
        if not found:
            print(f"{PEER} is not installed; there is nothing to compare with (pip install 'labelworks[peers]')")
        return found
    try:
        load_engine(name, threads=1)
    except ModelUnavailable as error:
        print(f"{name} is left out: {error}")
        return False
    return True


def _measure_apart(name: str, kind: str, texts: list[str], seconds: float, threads: int) -> Figures:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(there, name, kind, texts, seconds, threads))
    process.start()
    there.close()
    try:
        figures: Figures = here.recv()
    finally:
        process.join()
    return figures


def _measure(
    connection: Connection[Any, Any], name: str, kind: str, texts: list[str], seconds: float, threads: int
) -> None:
    start = time.perf_counter()
    contestant: Contestant = Peer(threads) if name == PEER else Ours(name, threads)
    load_seconds = time.perf_counter() - start
    contestant.classify(texts[: len(texts) // 8])
    start, runs, tokens = time.perf_counter(), 0, 0
    while (spent := time.perf_counter() - start) < seconds or runs == 0:
        tokens += contestant.classify(texts)
        runs += 1
    memory = _peak_memory_mb()
    if name == PEER:
        tokens = runs * sum(min(count, WINDOW - SPECIAL_TOKENS) for count in _minilm_tokens(texts))
    connection.send(Figures(name, kind, tokens / spent, runs * len(texts) / spent, load_seconds, memory, None))


def _peak_memory_mb() -> float:
    """Of this process alone; what getrusage says begins with the peak of the process that started it."""
    status = Path("/proc/self/status").read_text()
    kilobytes: str = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(kilobytes) / 1024


def _completed(row: Figures, measured: Mapping[tuple[str, str], Figures], texts: list[str], peak: float) -> Figures:
    """With the shares that need the best peak and the best peer of all rounds."""
    peer = measured.get((PEER, row.texts))
    times_peer = row.tokens_per_second / peer.tokens_per_second if peer else None
    has_minilm = row.engine in (PEER, "minilm")
    tokens = np.array(_minilm_tokens(texts))
    if row.engine == PEER:
        tokens = np.minimum(tokens, WINDOW - SPECIAL_TOKENS)
    operations = _minilm_operations(tokens) / len(texts) * row.texts_per_second
    return replace(row, times_peer=times_peer, peak_share=operations / peak if has_minilm else None)


def _minilm_tokens(texts: list[str]) -> list[int]:
    return load_token_counter("minilm").count(texts)


def _minilm_operations(tokens: Counts) -> float:
    """Multiplications and additions in the matrix products of MiniLM for texts of these lengths.

    Each of the 6 layers multiplies a token (384 numbers) with 4 matrices of 384 × 384 and 2 of 384 × 1536, and with
    the keys and values of its window.
    """
    windows = cut_windows(np.empty(0, np.int32), tokens, WINDOW - SPECIAL_TOKENS).lengths + SPECIAL_TOKENS
    linear = 4 * 384 * 384 + 2 * 384 * 1536
    return float(6 * 2 * (windows * linear + windows**2 * 2 * 384).sum())


def _rounded(value: object) -> object:
    return round(value, 3) if isinstance(value, float) else value


def _print_table(rows: list[Figures], peak: float) -> None:
    print(f"\nint8 matrix product at its best: {peak / 1e9:,.0f} GOP/s\n")
    header = ("engine", "texts", "tokens/s", "texts/s", "× peer", "load s", "peak MB", "of int8 peak")
    lines = [
        (
            row.engine,
            row.texts,
            f"{row.tokens_per_second:,.0f}",
            f"{row.texts_per_second:,.1f}",
            "-" if row.times_peer is None else f"{row.times_peer:.1f}",
            f"{row.load_seconds:.2f}",
            f"{row.peak_memory_mb:,.0f}",
            "-" if row.peak_share is None else f"{row.peak_share:.0%}",
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in [header, *lines]) for column in range(len(header))]
    for line in [header, *lines]:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))


if __name__ == "__main__":
    main()
