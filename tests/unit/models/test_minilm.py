from __future__ import annotations

import platform
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.adaptation import Adaptation
from models.bert.minilm_reference import MiniLmReference
from models.cpu_instructions import Int8Instructions, int8_instructions
from models.engines.minilm import (
    LEAST_COSINE,
    WEIGHTS,
    MiniLm,
    Precision,
    build_encoder,
    build_runner,
    load,
    load_plain,
    mean_cosine,
    read_weights,
    usable_precisions,
)
from models.exceptions import EngineSelfCheckFailed
from models.registry import engine_arithmetic
from models.scoring_prompts import unit
from models.tokenization import TextTokenizer
from models.weights import locate
from models.window_encoder import BatchRunner, WindowEncoder
from tests.unit.models.golden import read_golden

# What computes it is installed on x86 alone; more threads than streams share a pool.
ONNX_THREADS = (1, 12) if platform.machine() in ("x86_64", "AMD64") else ()


def test_vectors_are_those_of_the_reference_implementation_adapted(minilm: MiniLm) -> None:
    texts, golden = read_golden("minilm")
    adapted = unit(Adaptation.read("minilm").applied(golden))
    cosines = (minilm.encoder.encode(texts)[0] * adapted).sum(axis=1)
    assert cosines.mean() >= 0.995
    assert cosines.min() >= 0.98


def encoder_in(precision: Precision, instructions: Int8Instructions, threads: int = 1) -> WindowEncoder:
    files = locate(WEIGHTS, None)
    weights = read_weights(files["model.safetensors"])
    runner = build_runner(weights, MiniLmReference.read(), precision, instructions, threads)
    return build_encoder(TextTokenizer(files["tokenizer.json"]), runner)


@pytest.mark.parametrize(("precision", "least"), [("int8", 0.995), ("bf16", 0.9995), ("f32", 0.99999)])
def test_every_precision_agrees_with_the_reference_implementation_where_it_is_used(
    precision: Precision, least: float
) -> None:
    texts, golden = read_golden("minilm")
    vectors = encoder_in(precision, int8_instructions()).encode(texts)[0]
    close = (vectors * golden).sum(axis=1).mean() >= least
    assert close == (precision != "int8" or int8_instructions() != "none")


@pytest.mark.parametrize("threads", ONNX_THREADS)
def test_int8_for_cpus_with_avx2_alone_agrees_with_the_reference_in_whatever_batch(threads: int) -> None:
    texts, golden = read_golden("minilm")
    encoder = encoder_in("int8", "AVX2", threads)
    vectors = encoder.encode(texts)[0]
    assert (vectors * golden).sum(axis=1).mean() >= 0.995
    for text, vector in zip(texts[::5], vectors[::5], strict=True):
        assert encoder.encode([text])[0].tobytes() == vector.tobytes()


@pytest.mark.parametrize(
    ("capabilities", "instructions", "expected"),
    [
        (["BF16", "FP32", "INT8"], "VNNI", ("int8", "bf16", "f32")),
        (["FP32", "INT8"], "dot products", ("int8", "f32")),
        (["FP32", "INT8"], "unknown instructions", ("int8", "f32")),
        (["FP32", "INT8"], "AVX2", ("int8", "f32")),
        (["FP32", "INT8"], "none", ("f32",)),
        (["FP32"], "VNNI", ("f32",)),
        ([], "unknown instructions", ("f32",)),
    ],
)
def test_precisions_follow_the_processor(
    capabilities: list[str], instructions: Int8Instructions, expected: tuple[Precision, ...]
) -> None:
    assert usable_precisions(capabilities, instructions) == expected


@pytest.mark.parametrize(
    ("capabilities", "instructions", "expected"),
    [
        (["BF16", "FP32", "INT8"], "VNNI", "int8 by VNNI and bf16"),
        (["FP32", "INT8"], "VNNI", "int8 by VNNI and f32"),
        (["FP32", "INT8"], "AVX2", "int8 by AVX2 and f32"),
        (["FP32", "INT8"], "none", "f32"),
        (["FP32", "INT8"], "I8MM", "int8 by I8MM and f32"),
        (["FP32", "INT8"], "unknown instructions", "int8 by unknown instructions and f32"),
        (["BF16"], "VNNI", "bf16"),
        ([], "none", "f32"),
    ],
)
def test_engines_tell_the_arithmetic_that_the_processor_lets_them_choose(
    capabilities: list[str], instructions: Int8Instructions, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.engines.minilm._capabilities", lambda: capabilities)
    monkeypatch.setattr("models.engines.minilm.int8_instructions", lambda: instructions)
    assert engine_arithmetic("minilm") == engine_arithmetic("blend") == expected
    assert engine_arithmetic("static") == ""


def test_the_engine_computes_in_the_arithmetic_that_it_tells(minilm: MiniLm) -> None:
    assert engine_arithmetic("minilm").startswith(minilm.precision)


def test_a_precision_that_computes_garbage_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = MiniLmReference.read()
    clipped = {name: replace(how, limit=how.limit / 100) for name, how in stored.inputs.items()}
    monkeypatch.setattr(MiniLmReference, "read", lambda: replace(stored, inputs=clipped))
    engine = load_plain(threads=1, weights=None)
    assert engine.precision != "int8"
    assert mean_cosine(engine.encoder, stored) >= LEAST_COSINE[engine.precision]


def test_a_precision_for_which_its_library_has_no_kernel_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*arguments: Any) -> BatchRunner:
        if "int8" in arguments:
            raise RuntimeError("no kernel")
        return build_runner(*arguments)

    monkeypatch.setattr("models.engines.minilm.build_runner", build)
    assert load(threads=1, weights=None).precision != "int8"


def test_an_engine_that_is_wrong_in_every_precision_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = MiniLmReference.read()
    monkeypatch.setattr(MiniLmReference, "read", lambda: replace(stored, vectors=-stored.vectors))
    with pytest.raises(EngineSelfCheckFailed, match="reinstall openvino"):
        load(threads=1, weights=None)


def test_the_reference_file_is_what_the_calibration_writes() -> None:
    stored = MiniLmReference.read()
    again = MiniLmReference.from_json(stored.to_json())
    assert again.texts == stored.texts
    assert np.array_equal(again.vectors, stored.vectors)
    for name, how in stored.inputs.items():
        assert np.array_equal(again.inputs[name].smoothing, how.smoothing)
        assert np.array_equal(again.inputs[name].copies, how.copies)
