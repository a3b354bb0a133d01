"""An encoder with a scorer on top: the Classifier of every engine that turns texts into vectors."""

from __future__ import annotations

from collections.abc import Sequence

from models.decision import decide
from models.protocol import Encoder, OnBatch
from models.scoring import fit_scorer
from models.task import ClassificationTask, Prediction
from models.tokenization import portions

TEXTS_AT_ONCE = 8_192
CHARACTERS_AT_ONCE = 4_194_304


class EmbeddingClassifier:
    """Works through the texts in portions, so memory does not grow with their number.

    Portions are large because the encoder sorts each by length; where they end decides nothing else.
    """

    def __init__(
        self, encoder: Encoder, task: ClassificationTask, engine: str, texts_at_once: int = TEXTS_AT_ONCE
    ) -> None:
        self._encoder = encoder
        self._task = task
        self._texts_at_once = texts_at_once
        self._scorer = fit_scorer(encoder, task, engine)

    def classify(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> list[Prediction]:
        predictions: list[Prediction] = []
        for portion in portions(texts, CHARACTERS_AT_ONCE, self._texts_at_once):
            vectors, tokens = self._encoder.encode(portion, on_batch)
            predictions.extend(decide(self._task, self._scorer.probabilities(vectors), tokens))
        return predictions
