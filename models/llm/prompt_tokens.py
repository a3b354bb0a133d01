"""A task's prompt in a language model's own tokens and, where the model was taught one, in its chat format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models.exceptions import ModelError, ModelUnavailable
from models.llm.label_prompt import (
    DETAILS,
    YES_NO,
    Detail,
    LabelPrompt,
    choice_ids,
    choice_prompt,
    yes_no_prompt,
)
from models.on_torch.text_stream import special_tokens
from models.task import ClassificationTask
from models.tokenization import TextTokenizer
from models.weights import tokenizer_file

TEXT_WINDOW = 2_048
"""The most tokens of a text that are read at once; a longer text is cut into windows."""

Render = Callable[[str], str]
"""From what a user says to the whole conversation up to where the answer begins."""


@dataclass(frozen=True, slots=True)
class PromptTokens:
    """Token ids: ``head``, a text's, one of ``questions``; then comes one of ``choices``, a token each."""

    head: tuple[int, ...]
    questions: tuple[tuple[int, ...], ...]
    choices: tuple[int, ...]

    @property
    def around(self) -> int:
        """The most tokens that a row has beside the text's, the answer among them."""
        return len(self.head) + max(len(question) for question in self.questions) + 1

    def room(self, window: int) -> int:
        """The most tokens of a text beside it in a window of the model."""
        return min(window - self.around, TEXT_WINDOW)


class PromptTokenizer:
    """``window``: how many tokens the model reads at once; a prompt takes half of them at most."""

    def __init__(self, folder: Path, window: int) -> None:
        self._tokenizer = TextTokenizer(tokenizer_file(folder))
        self._render = chat_format(folder)
        self._window = window

    def prompt(self, task: ClassificationTask) -> PromptTokens:
        """With as much of the request as there is room for. Raises ModelError where even the labels are too many."""
        for detail in DETAILS:
            tokens = self._tokens(task, detail)
            if tokens.around <= self._window // 2:
                return tokens
        raise ModelError(
            f"{len(task.labels)} labels make a prompt of {tokens.around:,} tokens; the model reads "
            f"{self._window:,} and half of them are the text's. Use fewer or shorter labels, or another model."
        )

    def _tokens(self, task: ClassificationTask, detail: Detail) -> PromptTokens:
        if task.is_choice:
            draft = choice_prompt(task, tuple(["A"] * len(task.labels)), detail)
            _, question = self._around(draft, 0)
            return self._encoded(choice_prompt(task, self._ids(question, len(task.labels)), detail))
        for words in YES_NO:
            prompt = yes_no_prompt(task, words, detail)
            if all(self._token_after(self._around(prompt, 0)[1], word) is not None for word in words):
                return self._encoded(prompt)
        raise ModelUnavailable("The model's vocabulary has no single tokens for yes and no.")

    def _ids(self, question: str, count: int) -> tuple[str, ...]:
        found: dict[int, str] = {}
        for name in choice_ids():
            token = self._token_after(question, name)
            if token is not None:
                found.setdefault(token, name)
            if len(found) == count:
                return tuple(found.values())
        raise ModelUnavailable(
            f"The model's vocabulary has short ids of one token for {len(found)} labels only, not for {count}."
        )

    def _encoded(self, prompt: LabelPrompt) -> PromptTokens:
        head, question = self._around(prompt, 0)
        # A chat format spells out the token that begins a sequence.
        start = () if self._render else special_tokens(self._tokenizer, 0).before
        return PromptTokens(
            (*start, *self._ids_of(head)),
            tuple(self._ids_of(self._around(prompt, place)[1]) for place in range(len(prompt.questions))),
            tuple(self._one_token(question, choice) for choice in prompt.choices),
        )

    def _around(self, prompt: LabelPrompt, place: int) -> tuple[str, str]:
        """What comes before and after the text."""
        question = prompt.questions[place]
        if self._render is None:
            return prompt.head, question
        mark = "\u241f"
        while mark in prompt.head + question:
            mark += mark[0]
        before, _, after = self._render(f"{prompt.head}{mark}{question}\n{prompt.instruction}").partition(mark)
        return before, after

    def _one_token(self, question: str, choice: str) -> int:
        token = self._token_after(question, choice)
        if token is None:
            raise ModelUnavailable(f"The model's vocabulary has no single token for {choice!r}.")
        return token

    def _token_after(self, question: str, choice: str) -> int | None:
        """The one token that a choice is after the question, None if it is several."""
        before = self._ids_of(question)
        for text in (choice,) if self._render else (f" {choice}", choice):
            ids = self._ids_of(question + text)
            if len(ids) == len(before) + 1 and ids[:-1] == before:
                return ids[-1]
        return None

    def _ids_of(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.ids([text])[0].tolist())


def chat_format(folder: Path) -> Render | None:
    """How the model's own template puts a user's words, or None for a model that has none."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(folder), local_files_only=True)
    if not tokenizer.chat_template:
        return None

    def render(words: str) -> str:
        said = [{"role": "user", "content": words}]
        # Models that think aloud before they answer are told not to; others' templates ignore the word.
        text: str = tokenizer.apply_chat_template(
            said, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        return text

    return render
