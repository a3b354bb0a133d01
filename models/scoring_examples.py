"""What a request's examples add to its prompts: a logistic head that starts from the prompts' own answer."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.protocol import Encoder, Vectors
from models.scoring_prompts import Floats, unit
from models.task import MOST_EXAMPLES

PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
NOTHING_LEARNT = 1e9
"""A penalty that leaves the prompts' own answer."""
LESS_OF_PROMPTS = 0.5
"""Share of the prompts' log-odds that the head starts from where examples contradict the prompts."""
ENOUGH_EXAMPLES = 3
"""Examples a label from which on they may shift a label as a whole, or halve the prompts' say."""
CONSTANT = 0.3
"""A feature that every text has, small so that its weight, a label's offset, is penalised more than others."""
TRUSTS = tuple(float(scale) for scale in np.geomspace(1 / 3, 3, 41).round(3))
TRUST_PRIOR = 10.0
FOLDS = 4
ENOUGH_HELD_OUT = 400
"""Held-out examples that settle the penalty: with more examples than FOLDS times this, one fold is enough."""
DOUBT = 1.5
"""Nats of held-out log-loss by which examples must do better than the prompts alone to count for half."""
_MOST_GAIN = 50.0
_STEPS = 60
_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class LabelledExamples:
    """Each text once, in an order that is the texts' own: ``vectors`` (texts, dimension), ``belongs`` (texts,
    labels) 1 where a label lists it."""

    vectors: Floats
    belongs: Floats

    @property
    def targets(self) -> Floats:
        """Rows that sum to 1, shared equally by the labels that list the text."""
        shares: Floats = self.belongs / self.belongs.sum(axis=1, keepdims=True)
        return shares

    @property
    def covered(self) -> npt.NDArray[np.bool_]:
        """Which labels have an example."""
        covered: npt.NDArray[np.bool_] = self.belongs.sum(axis=0) > 0
        return covered

    def of_covered(self) -> LabelledExamples:
        """The same texts in a task of the labels that have an example."""
        return LabelledExamples(self.vectors, self.belongs[:, self.covered])

    def means(self) -> Floats:
        """The unit mean of each label's examples, zero for a label without."""
        return unit(self.belongs.T @ self.vectors)

    @property
    def weights(self) -> Floats:
        """One a row, averaging 1, such that every label that has examples weighs the same."""
        counts = np.maximum(self.belongs.sum(axis=0), 1)
        shares = (self.belongs / counts).sum(axis=1)
        weights: Floats = shares / shares.mean()
        return weights


@dataclass(frozen=True, slots=True)
class ExampleHead:
    """Log-odds = prompt_share * the prompts' log-odds + vectors @ weights + bias.

    ``trust`` is what to multiply log-odds by for probabilities, as far as held-out examples tell: over 1 where
    they were surer to be right than the log-odds say.
    """

    prompt_share: float
    weights: Floats
    bias: Floats
    trust: float


def encode_examples(
    encoder: Encoder, labels: Sequence[str], examples: Mapping[str, Sequence[str]]
) -> LabelledExamples | None:
    """At most MOST_EXAMPLES different texts, of labels with many no more than of others. None if no label of the task
    has an example."""
    listed: dict[str, list[int]] = {}
    for place, label in enumerate(labels):
        for text in examples.get(label, ()):
            listed.setdefault(text, []).append(place)
    if not listed:
        return None
    texts = _in_turn(sorted(listed, key=_shuffling), listed)
    belongs = np.zeros((len(texts), len(labels)))
    for row, text in enumerate(texts):
        belongs[row, listed[text]] = 1
    return LabelledExamples(encoder.encode(texts)[0].astype(np.float64), belongs)


def _in_turn(texts: list[str], listed: Mapping[str, Sequence[int]]) -> list[str]:
    """The first of each label before the second of any, until there are MOST_EXAMPLES; in the order of ``texts``."""
    if len(texts) <= MOST_EXAMPLES:
        return texts
    seen: Counter[int] = Counter()
    turns: dict[str, int] = {}
    for text in texts:
        turns[text] = min(seen[place] for place in listed[text])
        seen.update(listed[text])
    kept = set(sorted(texts, key=turns.__getitem__)[:MOST_EXAMPLES])
    return [text for text in texts if text in kept]


def _shuffling(text: str) -> bytes:
    """Sorts texts in an order that means nothing and does not depend on the order in which they are sent."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def fit_example_head(examples: LabelledExamples, prompt_logits: Floats, exclusive: bool) -> ExampleHead:
    """Multinomial logistic regression on top of a share of ``prompt_logits`` (examples, labels).

    Its squared-norm penalty pulls the answer back to the prompts' own. Penalty and share are those of
    ``PENALTIES`` and ``LESS_OF_PROMPTS`` with the least log-loss in cross-validation: examples that do not predict
    each other change little. Labels that are not ``exclusive`` are never shifted as a whole, nor is the prompts'
    say halved. What changes exclusive labels is weighed by the odds that the held-out examples give it against
    the prompts alone, with ``DOUBT`` as prior, so that few examples, or examples at odds with each other, leave a
    task about as its prompts have it.
    """
    weights = examples.weights
    origin = (weights[:, None] * examples.vectors).mean(axis=0)
    roots = np.sqrt(weights)[:, None]
    left, scale, right = np.linalg.svd(roots * (examples.vectors - origin), full_matrices=False)
    kept = scale > 1e-6 * max(float(scale[0]), 1e-6)
    constant = np.full((len(weights), 1), CONSTANT)
    rows = np.hstack([left[:, kept] * scale[kept] / roots, constant])
    curvature = 0.5 * np.append(scale[kept] ** 2, weights.sum() * CONSTANT**2).astype(np.float32)
    data = _Data(*(a.astype(np.float32) for a in (rows, prompt_logits, examples.targets, weights)))
    enough = exclusive and examples.belongs.sum(axis=0)[examples.covered].mean() >= ENOUGH_EXAMPLES
    if not enough:
        data.rows[:, -1] = 0
    folds = _folds(examples.belongs)
    prompts_alone = _held_out(data, curvature, folds, (NOTHING_LEARNT,))[NOTHING_LEARNT]
    tried = _held_out(data, curvature, folds, PENALTIES)
    penalty = min(reversed(PENALTIES), key=lambda one: tried[one].loss())
    held_out, share = tried[penalty], 1.0
    if enough:
        half = data.starting_from(LESS_OF_PROMPTS)
        outvoted = _held_out(half, curvature, folds, (penalty,))[penalty]
        if outvoted.loss() < held_out.loss():
            data, held_out, share = half, outvoted, LESS_OF_PROMPTS
    head = data.fit(curvature, penalty).astype(np.float64)
    if exclusive:
        gain = prompts_alone.loss(_trust(prompts_alone)) - held_out.loss(_trust(held_out))
        belief = 1 / (1 + math.exp(-max(gain - DOUBT, -_MOST_GAIN)))
        share, head = 1 - belief + belief * share, belief * head
    slopes: Floats = right[kept].T @ head[:-1]
    return ExampleHead(share, slopes, CONSTANT * head[-1] - origin @ slopes, _trust(held_out) if enough else 1.0)


@dataclass(frozen=True, slots=True)
class _Answers:
    """Log-odds of examples from a head that was fitted without them."""

    logits: Vectors
    targets: Vectors
    weights: Vectors

    def loss(self, scale: float = 1.0) -> float:
        """Log-loss, summed, of log-odds times ``scale``."""
        logits = np.float32(scale) * self.logits
        top = logits.max(axis=1, initial=-np.inf)
        normaliser = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
        return float(self.weights @ (normaliser - (logits * self.targets).sum(axis=1)))


def _trust(answers: _Answers) -> float:
    """The scale of least log-loss, drawn to 1 as if by TRUST_PRIOR examples."""
    return min(TRUSTS, key=lambda scale: answers.loss(scale) + 0.5 * TRUST_PRIOR * math.log(scale) ** 2)


@dataclass(frozen=True, slots=True)
class _Data:
    """Single precision, in coordinates where the weighted Gram matrix of all examples is diagonal; the constant
    comes last and keeps it so, as the other rows are centred."""

    rows: Vectors
    offsets: Vectors
    targets: Vectors
    weights: Vectors

    def part(self, chosen: npt.NDArray[np.bool_]) -> _Data:
        return _Data(self.rows[chosen], self.offsets[chosen], self.targets[chosen], self.weights[chosen])

    def starting_from(self, share: float) -> _Data:
        return _Data(self.rows, np.float32(share) * self.offsets, self.targets, self.weights)

    def answers(self, head: Vectors) -> _Answers:
        return _Answers(self.offsets + self.rows @ head, self.targets, self.weights)

    def fit(self, curvature: Vectors, penalty: float, start: Vectors | None = None) -> Vectors:
        """Accelerated descent with restarts, stepping by a bound of the curvature: half the Gram matrix for
        every label (Böhning, Multinomial logistic regression algorithm, 1992)."""
        steps = (1 / (curvature + penalty)).astype(np.float32)[:, None]
        head = np.zeros((len(curvature), self.targets.shape[1]), np.float32) if start is None else start
        ahead, momentum = head, 1.0
        for _ in range(_STEPS):
            shares = self.offsets + self.rows @ ahead
            shares -= shares.max(axis=1, keepdims=True)
            np.exp(shares, out=shares)
            shares /= shares.sum(axis=1, keepdims=True)
            gradient = self.rows.T @ (self.weights[:, None] * (shares - self.targets)) + penalty * ahead
            moved = ahead - steps * gradient
            step = moved - head
            following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2 if float((step * gradient).sum()) <= 0 else 1.0
            ahead = moved + (momentum - 1) / following * step if following > 1 else moved
            head, momentum = moved, following
            if float(np.abs(step).max(initial=0)) <= _TOLERANCE * float(np.abs(head).max(initial=0)):
                break
        return head


def _held_out(
    data: _Data, curvature: Vectors, folds: npt.NDArray[np.int64], penalties: Sequence[float]
) -> dict[float, _Answers]:
    """For each penalty the answers for examples by heads fitted on the other folds."""
    answers: dict[float, list[_Answers]] = {penalty: [] for penalty in penalties}
    held_out = 0
    for fold in np.unique(folds):
        outside = data.part(folds == fold)
        inside = data.part(folds != fold)
        if not len(inside.rows) or held_out >= ENOUGH_HELD_OUT:
            break
        held_out += len(outside.rows)
        head: Vectors | None = None
        for penalty in reversed(penalties):
            head = inside.fit(curvature, penalty, head)
            answers[penalty].append(outside.answers(head))
    nothing = data.part(np.zeros(len(folds), np.bool_))
    return {
        penalty: _Answers(
            np.concatenate([nothing.offsets, *(part.logits for part in parts)]),
            np.concatenate([nothing.targets, *(part.targets for part in parts)]),
            np.concatenate([nothing.weights, *(part.weights for part in parts)]),
        )
        for penalty, parts in answers.items()
    }


def _folds(belongs: Floats) -> npt.NDArray[np.int64]:
    """A label's examples in turn to all folds, starting at another fold for each label; examples that several
    labels list together count as a label's of their own. Labels' places play no part."""
    seen: dict[bytes, int] = {}
    folds = np.empty(len(belongs), np.int64)
    for row, labels in enumerate(belongs):
        turn = seen.setdefault(labels.tobytes(), len(seen))
        folds[row] = turn % FOLDS
        seen[labels.tobytes()] = turn + 1
    return folds
