"""Measures the activations of all-MiniLM-L6-v2 and writes models/bert/minilm_reference.json.

Run as ``python -m benchmarks.calibrate_minilm``; takes a few minutes. The texts are the docstrings of
Python's standard library (of whatever Python runs this), the phrases below and random tokens, so every part
of the vocabulary has its share; only numbers measured on them are stored, and the phrases.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openvino as ov

from models.bert.layers import Array, LinearInput, linear_names, linear_weight
from models.bert.minilm_reference import FILE, MiniLmReference
from models.bert.openvino_graph import build_observed_graph
from models.bert.token_stream import stream
from models.engines.minilm import SHAPE, SPECIAL, WEIGHTS, WINDOW, read_weights
from models.tokenization import TextTokenizer, TokenIds
from models.weights import locate
from models.window_encoder import PaddedBatch

PHRASES = (
    "ok",
    "I was charged twice for my subscription this month and nobody answers the phone.",
    "Absolutely love this app, the new update made everything faster!!! 😍",
    "The quarterly report shows revenue of $4.2 billion, up 12% on last year, beating analysts' forecasts.",
    "Wie kann ich mein Passwort zurücksetzen? Der Link in der E-Mail funktioniert nicht.",
    "注文した商品がまだ届いていません。いつ発送されますか？",
    "def main(argv): return sys.exit(0) if argv else print('usage: main.py [options] FILE')",
    "هل يمكنني إرجاع المنتج بعد شهر من الشراء؟",
    "Scientists have found water vapour in the atmosphere of a planet 120 light years away, a team reported "
    "on Wednesday. The signal, seen by two telescopes, is faint, and others ask for more observations "
    "before the claim is accepted. The planet is about twice the size of the Earth and "
    "goes round its star in 33 days.",
    "lol no way u r kidding me... call me l8r ok?? xx",
)
MODULES = (
    "argparse",
    "asyncio",
    "collections",
    "csv",
    "datetime",
    "decimal",
    "difflib",
    "email.message",
    "fractions",
    "http.client",
    "inspect",
    "ipaddress",
    "json",
    "logging",
    "math",
    "os",
    "pathlib",
    "random",
    "re",
    "shutil",
    "smtplib",
    "socket",
    "sqlite3",
    "ssl",
    "statistics",
    "subprocess",
    "tarfile",
    "threading",
    "turtle",
    "unittest",
    "urllib.request",
    "xml.dom",
    "zipfile",
)
RANDOM_TEXTS = 1_500
ONE_SCRIPT_TEXTS = 300
"""Random tokens that are neighbours in the vocabulary, where characters of one script are together."""
SMOOTHING = 0.75
"""How much of an outlier moves into the weights: of 0.4 to 0.9, what kept the vectors closest."""
COPIES = 32
"""How many more channels the input of a "down" layer has; a few of them hold activations ten times the rest."""


def main() -> None:
    """Writes the file and prints where."""
    files = locate(WEIGHTS, None)
    weights = read_weights(files["model.safetensors"])
    compiled = ov.Core().compile_model(build_observed_graph(weights, SHAPE), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    tokenizer = TextTokenizer(files["tokenizer.json"])
    names = linear_names(SHAPE)
    largest: dict[str, Array] = {}
    for ids in _windows(tokenizer):
        answers = compiled(_alone(ids))
        for index, name in enumerate(names, start=1):
            seen = np.abs(answers[index]).max(axis=0)
            largest[name] = np.maximum(largest.get(name, seen), seen)
    inputs = {name: _linear_input(name, largest[name], linear_weight(weights, name)) for name in names}
    vectors = [compiled(_alone(ids))[0][0] for ids in _phrases(tokenizer)]
    target = Path(__file__).parents[1] / "models" / "bert" / FILE
    target.write_text(MiniLmReference(inputs, PHRASES, np.stack(vectors)).to_json())
    print(f"wrote {target}")


def _windows(tokenizer: TextTokenizer) -> Iterator[TokenIds]:
    yield from _phrases(tokenizer)
    for module in MODULES:
        for member in vars(importlib.import_module(module)).values():
            text = getattr(member, "__doc__", None)
            if isinstance(text, str) and len(text) > 20:
                yield _wrapped(tokenizer.ids([text])[0])
    random = np.random.default_rng(0)
    for _ in range(RANDOM_TEXTS):
        length = int(np.exp(random.uniform(0, np.log(WINDOW - SPECIAL.count))))
        yield _wrapped(random.integers(999, SHAPE.vocabulary, length, dtype=np.int32))
    for _ in range(ONE_SCRIPT_TEXTS):
        length = int(np.exp(random.uniform(0, np.log(WINDOW - SPECIAL.count))))
        first = random.integers(999, SHAPE.vocabulary - 150)
        yield _wrapped(random.integers(first, first + 150, length, dtype=np.int32))


def _phrases(tokenizer: TextTokenizer) -> Iterator[TokenIds]:
    for phrase in PHRASES:
        yield _wrapped(tokenizer.ids([phrase])[0])


def _wrapped(ids: TokenIds) -> TokenIds:
    return np.array([*SPECIAL.before, *ids[: WINDOW - SPECIAL.count], *SPECIAL.after], np.int32)


def _alone(window: TokenIds) -> list[TokenIds]:
    return list(stream(PaddedBatch(window[None], np.array([len(window)], np.int32))).arrays)


def _linear_input(name: str, largest: Array, weight: Array) -> LinearInput:
    inputs = np.maximum(largest, 1e-5)
    outputs = np.maximum(np.abs(weight).max(axis=0), 1e-5)
    copies = np.ones(len(inputs), np.int64)
    for _ in range(COPIES if name.endswith(".down") else 0):
        copies[np.argmax(inputs * outputs / copies)] += 1
    smoothing = inputs**SMOOTHING / (outputs / copies) ** (1 - SMOOTHING)
    smoothing = np.round(smoothing / np.exp(np.log(smoothing).mean()), 4).astype(np.float32)
    return LinearInput(smoothing, float((largest / smoothing).max()), copies)


if __name__ == "__main__":
    main()
