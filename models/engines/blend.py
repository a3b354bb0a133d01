"""The default engine's vectors beside the fast engine's: a little more often right for a few per cent of time.

Cost: that of ``minilm`` and ``static`` together, one pass a text, whatever the number of labels. Hardware: as
``minilm``, and 100 MB more memory. Pick it where both packages of weights are installed and answers matter more
than the last per cents of speed.
"""

from __future__ import annotations

from models.embedding_classifier import EmbeddingClassifier
from models.engines import minilm, static
from models.paired_encoder import PairedEncoder
from models.protocol import EngineInfo
from models.task import ClassificationTask
from models.tokenization import TextTokenizer

NAME = "blend"
STATIC_SHARE = 0.15


class Blend:
    """Loaded weights; ``encoder`` is what any number of tasks share."""

    info = EngineInfo(NAME, "cpu")

    def __init__(self, encoder: PairedEncoder) -> None:
        self.encoder = encoder

    def bind(self, task: ClassificationTask) -> EmbeddingClassifier:
        return EmbeddingClassifier(self.encoder, task, NAME)


def load(threads: int | None, weights: str | None) -> Blend:
    """``weights`` are those of ``minilm``. Raises ModelUnavailable when either engine's are missing."""
    first = minilm.load(threads, weights).encoder
    second = static.load(threads, None).encoder
    return Blend(PairedEncoder(first, second, STATIC_SHARE))


def arithmetic() -> str:
    """That of ``minilm``: the other half is computed alike everywhere."""
    return minilm.arithmetic()


def load_token_counter(weights: str | None) -> TextTokenizer:
    return minilm.load_token_counter(weights)
