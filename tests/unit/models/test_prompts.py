from __future__ import annotations

import pytest

from models.prompts import label_prompts, spoken
from models.task import ClassificationTask


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("card_payment_fee", "card payment fee"),
        ("billing/refund", "billing refund"),
        ("cardPaymentFee", "card payment fee"),
        ("__internal__", "internal"),
        ("card payment", "card payment"),
        ("iPhone", "iPhone"),
        ("GitHub", "GitHub"),
        ("e-mail", "e-mail"),
        ("C++", "C++"),
        ("___", "low line low line low line"),
        ("👍", "thumbs up sign"),
        ("❤️", "heavy black heart"),
        ("👍 good", "👍 good"),
        ("★ ★", "black star black star"),
        ("\u200d", "\u200d"),
        ("Größe_und_Farbe", "Größe und Farbe"),
    ],
)
def test_identifiers_are_read_as_the_words_that_they_join(name: str, words: str) -> None:
    assert spoken(name) == words


def test_prompts_speak_the_words_of_a_label_and_look_its_description_up_by_its_name() -> None:
    task = ClassificationTask(("card_fee", "other"), descriptions={"card_fee": "what a card costs"})
    described, plain = label_prompts(task)
    assert "card fee: what a card costs" in described.sentences
    assert not any("_" in sentence for sentence in (*described.sentences, *plain.sentences))
