"""The fast engine: the mean of wordllama's static token embeddings, no transformer at all.

Cost: tokenizing and one table look-up a token, whatever the number of labels. Hardware: any CPU. Pick it
for files that are too large for ``minilm`` on the hardware at hand, where some accuracy may be given for
dozens of times the speed (40 to 130, the more the shorter texts are): it knows words, not their order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import openvino as ov
import openvino.opset13 as op
from safetensors.numpy import load_file
from tokenizers import Regex
from tokenizers.pre_tokenizers import Split

from models.adaptation import Adaptation
from models.embedding_classifier import EmbeddingClassifier
from models.processors import usable_processors
from models.protocol import Counts, EngineInfo, OnBatch, Vectors
from models.task import ClassificationTask
from models.tokenization import CHARACTERS_AT_ONCE, TextTokenizer, portions
from models.weights import PublishedWeights, locate

NAME = "static"
EMBEDDING = "l2_supercat_256.safetensors"
TOKENIZER = "l2_supercat_tokenizer_config.json"
WEIGHTS = PublishedWeights(
    model="wordllama l2_supercat 256",
    package="wordllama",
    requirement="wordllama==0.4.0.post1",
    package_paths={
        EMBEDDING: f"wordllama/weights/{EMBEDDING}",
        TOKENIZER: f"wordllama/tokenizers/{TOKENIZER}",
    },
    hub="dleemiller/word-llama-l2-supercat",
    files={
        EMBEDDING: "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
        TOKENIZER: "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
    },
)
WORDS = Split(Regex("▁+[^▁]*"), "isolated")
"""No token of the vocabulary has a space after another character, so cutting there changes no token. It lets
the tokenizer find words that it has seen before in its cache."""


class StaticEncoder:
    """An Encoder whose vectors are means of token embeddings; a text without tokens has the zero vector."""

    def __init__(self, tokenizer: TextTokenizer, embeddings: npt.NDArray[np.float32], threads: int) -> None:
        self._tokenizer = tokenizer
        self._dimension = int(embeddings.shape[1])
        self._sum = _summing(embeddings, threads)

    @property
    def dimension(self) -> int:
        return self._dimension

    def encode(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> tuple[Vectors, Counts]:
        vectors = np.zeros((len(texts), self._dimension), np.float32)
        tokens = np.zeros(len(texts), np.int64)
        start = 0
        for portion in portions(texts, CHARACTERS_AT_ONCE):
            part = slice(start, start + len(portion))
            ids, counts = self._tokenizer.ids(portion)
            tokens[part] = counts
            if len(ids):
                firsts = (np.cumsum(counts) - counts).astype(np.int32)
                filled = counts > 0
                sums = self._sum([ids, firsts[filled]])[0]
                norms = np.linalg.norm(sums, axis=1, keepdims=True)
                vectors[part][filled] = sums / np.maximum(norms, 1e-12)
            start += len(portion)
            if on_batch is not None:
                on_batch(len(portion), len(ids))
        return vectors, tokens


class Static:
    """Loaded weights; ``encoder`` is what any number of tasks share."""

    info = EngineInfo(NAME, "cpu")

    def __init__(self, encoder: StaticEncoder) -> None:
        self.encoder = encoder

    def bind(self, task: ClassificationTask) -> EmbeddingClassifier:
        return EmbeddingClassifier(self.encoder, task, NAME)


def load(threads: int | None, weights: str | None) -> Static:
    """With adapted vectors. Raises ModelUnavailable when the weights are missing or damaged."""
    return _load(threads, weights, Adaptation.read(NAME))


def load_plain(threads: int | None, weights: str | None) -> Static:
    """With wordllama's own vectors. Raises as ``load``."""
    return _load(threads, weights, None)


def _load(threads: int | None, weights: str | None, adaptation: Adaptation | None) -> Static:
    files = locate(WEIGHTS, weights)
    embeddings = load_file(files[EMBEDDING])["embedding.weight"].astype(np.float32)
    if adaptation is not None:
        # A sum of adapted embeddings is the adapted sum.
        embeddings = adaptation.applied(embeddings)
    tokenizer = TextTokenizer(files[TOKENIZER], WORDS, literal=True)
    return Static(StaticEncoder(tokenizer, embeddings, threads or usable_processors()))


def load_token_counter(weights: str | None) -> TextTokenizer:
    return TextTokenizer(locate(WEIGHTS, weights, (TOKENIZER,))[TOKENIZER], WORDS, literal=True)


def _summing(embeddings: npt.NDArray[np.float32], threads: int) -> ov.CompiledModel:
    ids = op.parameter(ov.PartialShape([-1]), np.int32, name="ids")
    firsts = op.parameter(ov.PartialShape([-1]), np.int32, name="firsts")
    sums = op.embedding_bag_offsets_sum(op.constant(embeddings), ids, firsts)
    properties = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    return ov.Core().compile_model(ov.Model([sums], [ids, firsts], "token_sums"), "CPU", properties)
