from __future__ import annotations

from itertools import islice

from models.llm.label_prompt import DETAILS, Detail, choice_ids, choice_prompt, yes_no_prompt
from models.llm.prompt_tokens import PromptTokens
from models.llm.vllm_scorer import MOST_CHOICES, requests
from models.task import ClassificationTask

TASK = ClassificationTask(
    ("refund", "praise"), {"refund": "money\nback"}, {"refund": ("pay me", "pay up"), "praise": ("nice",)}, "review"
)


def test_a_choice_names_every_label_once_and_shows_examples_in_turn() -> None:
    prompt = choice_prompt(TASK, ("A", "B"), DETAILS[0])
    assert prompt.head.startswith("Which label fits the review best?\n\nLabels:\nA. refund: money back\nB. praise\n")
    assert prompt.head.endswith(
        "review: pay me\nLabel: A\n\nreview: nice\nLabel: B\n\nreview: pay up\nLabel: A\n\nreview: "
    )
    assert (prompt.questions, prompt.choices) == (("\nLabel:",), ("A", "B"))


def test_yes_or_no_is_asked_of_every_label() -> None:
    prompt = yes_no_prompt(TASK, ("Yes", "No"), DETAILS[0])
    assert prompt.questions == ("\nDoes the label 'refund' apply?", "\nDoes the label 'praise' apply?")
    assert "review: nice\nDoes the label 'praise' apply? Yes" in prompt.head


def test_details_end_with_labels_alone() -> None:
    assert choice_prompt(TASK, ("A", "B"), DETAILS[-1]).head.endswith("Labels:\nA. refund\nB. praise\n\nreview: ")
    assert "A. refund: mon\n" in choice_prompt(TASK, ("A", "B"), Detail(0, 3)).head


def test_there_are_different_ids_for_two_hundred_labels() -> None:
    assert len(set(islice(choice_ids(), 1_000))) == 1_000


def test_vllm_is_asked_text_by_text_with_as_many_choices_as_it_takes() -> None:
    prompt = PromptTokens((1, 2), ((8,), (9, 9)), tuple(range(100, 300)))
    asked = list(requests(prompt, [5, 6]))
    assert [request.ids for request in asked] == [(1, 2, 5, 6, 8)] * 2 + [(1, 2, 5, 6, 9, 9)] * 2
    assert all(len(request.choices) <= MOST_CHOICES for request in asked)
    assert asked[0].choices + asked[1].choices == prompt.choices
