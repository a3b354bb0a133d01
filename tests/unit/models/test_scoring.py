from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.calibration import Calibration
from models.protocol import Counts, OnBatch, Vectors
from models.scoring import fit_chooser, fit_scorer
from models.scoring_examples import encode_examples, fit_example_head
from models.task import ClassificationTask
from tests.unit.models.word_encoder import WordEncoder

ENCODER = WordEncoder()
TOPICS = ClassificationTask(labels=("sport", "money", "weather"))
TEXTS = (
    "the match ended in sport halls",
    "money for the bank",
    "cold weather and rain",
    "something of neither kind",
    "",
)


def probabilities(
    task: ClassificationTask, texts: tuple[str, ...] = TEXTS, engine: str = "minilm"
) -> npt.NDArray[np.float64]:
    return fit_scorer(ENCODER, task, engine).probabilities(ENCODER.encode(texts)[0])


def answers(task: ClassificationTask, texts: tuple[str, ...]) -> list[str]:
    return [task.labels[place] for place in probabilities(task, texts).argmax(axis=1)]


def test_the_label_whose_name_a_text_uses_is_the_likeliest() -> None:
    assert answers(TOPICS, TEXTS[:3]) == ["sport", "money", "weather"]


def test_single_probabilities_of_a_text_sum_to_one() -> None:
    assert probabilities(TOPICS).sum(axis=1) == pytest.approx(np.ones(len(TEXTS)))


def test_a_description_makes_its_words_speak_for_the_label() -> None:
    described = replace(TOPICS, descriptions={"weather": "storms, snow and sunshine"})
    text = ("snow over the hills",)
    assert answers(described, text) == ["weather"]
    assert probabilities(described, text)[0, 2] > probabilities(TOPICS, text)[0, 2]


def test_each_part_of_a_description_counts_by_itself() -> None:
    listed = replace(TOPICS, descriptions={"weather": "storms, snow, sunshine, hail, thunder, mist"})
    joined = replace(TOPICS, descriptions={"weather": "storms snow sunshine hail thunder mist"})
    assert not np.allclose(probabilities(listed), probabilities(joined))


def test_examples_make_their_words_speak_for_the_label() -> None:
    text = ("goalkeeper saves penalty",)
    taught = replace(
        TOPICS,
        examples={
            "sport": ("goalkeeper hurt", "late penalty awarded", "goalkeeper and penalty"),
            "money": ("shares fell", "interest rates rose", "budget deficit"),
            "weather": ("snow expected", "heavy rain", "clear skies"),
        },
    )
    assert probabilities(taught, text)[0, 0] > probabilities(TOPICS, text)[0, 0] + 0.1


def test_examples_of_one_label_alone_are_used() -> None:
    text = ("goalkeeper saves penalty",)
    taught = replace(TOPICS, examples={"sport": ("goalkeeper hurt", "late penalty awarded")})
    assert probabilities(taught, text)[0, 0] > probabilities(TOPICS, text)[0, 0]


@pytest.mark.parametrize("mode", ["single", "multi"])
@pytest.mark.parametrize("count", [2, 4, 8])
def test_examples_for_all_but_one_label_do_not_take_texts_from_it(count: int, mode: str) -> None:
    task = replace(TOPICS, mode="multi" if mode == "multi" else "single")
    examples = {
        label: tuple(f"{topic} word{number % 3}" for number in range(count))
        for label, topic in (("sport", "goal"), ("money", "bank"))
    }
    taught = replace(task, examples=examples)
    vectors = ENCODER.encode(TEXTS)[0]
    uncalibrated = Calibration(1.0, (0.0, 1.0, 1.0), (0.0, 1.0, 0.0))
    before, after = (fit_chooser(ENCODER, one, uncalibrated).logits(vectors) for one in (task, taught))
    assert not np.allclose(after[:, :2], before[:, :2], atol=1e-3)
    assert after[:, 2] == pytest.approx(before[:, 2], abs=1e-6)
    assert answers(taught, ("rain and cold weather with a word1",)) == ["weather"]


def test_examples_at_odds_with_each_other_leave_the_answers_to_the_prompts() -> None:
    labels = ("sport", "money")
    confused = {
        "sport": ("red apple", "blue pear", "green plum", "red pear"),
        "money": ("blue apple", "green pear", "red plum", "blue plum"),
    }
    task = ClassificationTask(labels, examples=confused)
    texts = ("sport in the park", "money in the bank", "sport and a red apple", "money and a blue apple")
    assert answers(task, texts) == ["sport", "money", "sport", "money"]


def test_examples_shift_no_label_as_a_whole_where_labels_do_not_exclude_each_other() -> None:
    encoded = encode_examples(
        ENCODER, ("a", "b"), {"a": ("one", "two", "three"), "b": ("four", "five", "six", "seven", "eight")}
    )
    assert encoded is not None
    against = np.tile([0.0, 4.0], (len(encoded.vectors), 1))
    free = fit_example_head(encoded, against, exclusive=False)
    bound = fit_example_head(encoded, against, exclusive=True)
    assert free.prompt_share == 1
    assert free.trust == 1
    assert bound.prompt_share < 1


def test_an_example_under_every_label_says_nothing() -> None:
    useless = dict.fromkeys(TOPICS.labels, ("the same text",))
    assert answers(replace(TOPICS, examples=useless), TEXTS[:3]) == ["sport", "money", "weather"]


def test_the_source_type_changes_the_scores() -> None:
    assert not np.allclose(probabilities(replace(TOPICS, source_type="newspaper headline")), probabilities(TOPICS))


@given(st.permutations(range(4)), st.sampled_from(["single", "multi"]), st.booleans())
def test_the_order_of_labels_only_reorders_the_answer(order: list[int], mode: str, taught: bool) -> None:
    labels = ("sport", "money", "weather", "travel by train")
    task = ClassificationTask(
        labels=labels,
        descriptions={"money": "banks, coins and taxes"},
        examples={label: (f"{label} one", f"two {label}", f"{label} three again") for label in labels}
        if taught
        else {},
        mode="multi" if mode == "multi" else "single",
    )
    shuffled = replace(task, labels=tuple(labels[place] for place in order))
    assert probabilities(shuffled) == pytest.approx(probabilities(task)[:, order], abs=1e-3)


@given(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=8), st.sampled_from(["single", "multi"]))
def test_a_text_is_scored_the_same_beside_any_others(texts: list[str], mode: str) -> None:
    task = replace(TOPICS, mode="multi" if mode == "multi" else "single")
    together = probabilities(task, tuple(texts))
    for row, text in enumerate(texts):
        assert together[row] == pytest.approx(probabilities(task, (text,))[0], abs=1e-6)


def test_fitting_twice_gives_the_same_numbers() -> None:
    task = replace(TOPICS, examples={"sport": ("a goal", "a match"), "money": ("a bank", "a loan")})
    assert (probabilities(task) == probabilities(task)).all()


@pytest.mark.parametrize("engine", ["minilm", "static", "an engine nobody fitted"])
@pytest.mark.parametrize("mode", ["single", "multi"])
@pytest.mark.parametrize("count", [1, 2, 200])
def test_probabilities_are_probabilities_for_any_number_of_labels(count: int, mode: str, engine: str) -> None:
    labels = tuple(f"label {number}" for number in range(count))
    task = ClassificationTask(labels=labels, mode="multi" if mode == "multi" else "single")
    found = probabilities(task, engine=engine)
    assert found.shape == (len(TEXTS), count)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert (found <= 1).all()


def test_labels_that_mean_the_same_share_their_probability() -> None:
    found = probabilities(replace(TOPICS, labels=("Sport", "sport")))
    assert found == pytest.approx(np.full_like(found, 0.5))


def test_a_label_alone_is_more_likely_for_a_text_about_it() -> None:
    alone = replace(TOPICS, labels=("weather",))
    about, other = probabilities(alone, ("weather and more weather", "money for the bank"))[:, 0]
    assert about > other + 0.2


def test_a_label_alone_learns_from_its_examples() -> None:
    alone = replace(TOPICS, labels=("weather",))
    taught = replace(alone, examples={"weather": ("snow expected", "heavy snow")})
    contrast = [
        found[0, 0] - found[1, 0]
        for found in (probabilities(task, ("snow again", "money for the bank")) for task in (taught, alone))
    ]
    assert contrast[0] > contrast[1]


def test_a_request_with_many_labels_and_examples_is_fitted_from_all_of_them() -> None:
    labels = tuple(f"label{number}" for number in range(60))
    examples = {label: tuple(f"word{label} number {i}" for i in range(10)) for label in labels}
    texts = tuple(f"word{label} again" for label in labels)
    task = ClassificationTask(labels=labels, examples=examples)
    assert answers(task, texts) == list(labels)


class CountingEncoder:
    """Remembers the texts; all have the same vector."""

    dimension = 1

    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode(self, texts: Sequence[str], on_batch: OnBatch | None = None) -> tuple[Vectors, Counts]:
        self.texts = list(texts)
        return np.ones((len(texts), 1), np.float32), np.ones(len(texts), np.int64)


def test_ten_thousand_examples_are_all_used() -> None:
    encoder = CountingEncoder()
    examples = {label: tuple(f"{label} {number}" for number in range(1_000)) for label in "abcdefghij"}
    encoded = encode_examples(encoder, tuple(examples), examples)
    assert encoded is not None
    assert encoded.belongs.sum(axis=0).tolist() == [1_000] * 10
    assert len(encoder.texts) == 10_000


@given(st.dictionaries(st.sampled_from("abc"), st.sets(st.integers(0, 40)), min_size=1), st.integers(1, 30))
def test_of_too_many_examples_each_label_has_as_many_as_the_others_or_all_its_own(
    numbers: dict[str, set[int]], most: int
) -> None:
    examples = {label: tuple(f"{label} {number}" for number in sorted(chosen)) for label, chosen in numbers.items()}
    with pytest.MonkeyPatch.context() as patch:
        encoder, whole, backwards = CountingEncoder(), CountingEncoder(), CountingEncoder()
        encode_examples(whole, tuple("abc"), examples)
        patch.setattr("models.scoring_examples.MOST_EXAMPLES", most)
        encoded = encode_examples(encoder, tuple("abc"), examples)
        encode_examples(backwards, tuple("abc"), {label: texts[::-1] for label, texts in examples.items()})
    assert encoder.texts == backwards.texts == [text for text in whole.texts if text in set(encoder.texts)]
    assert len(encoder.texts) == min(most, len(whole.texts))
    if encoded is not None:
        used = encoded.belongs.sum(axis=0)
        for place, label in enumerate("abc"):
            assert used[place] == len(examples.get(label, ())) or used[place] >= used.max() - 1
