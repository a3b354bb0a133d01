"""Plain cases that both embedding engines must get right, whatever is changed in how they score."""

from __future__ import annotations

import pytest

from models.engines.minilm import MiniLm
from models.engines.static import Static
from models.task import ClassificationTask

NEWS = ClassificationTask(
    labels=("sport", "business", "weather", "cooking", "health"),
    descriptions={
        "sport": "matches, players and tournaments",
        "business": "companies, shares and the economy",
        "weather": "rain, storms, temperatures and forecasts",
        "cooking": "recipes, ingredients and kitchens",
        "health": "illness, doctors and medicine",
    },
    source_type="short news item",
)
NEWS_ANSWERS = {
    "The striker scored twice as the home team won the cup final.": "sport",
    "A late goal in extra time sent the visitors through to the semi-final.": "sport",
    "The tennis champion withdrew from the tournament with a knee injury.": "sport",
    "The coach praised his players after the match.": "sport",
    "Shares in the carmaker fell after it cut its profit forecast.": "business",
    "The central bank raised interest rates to slow inflation.": "business",
    "Two airlines agreed to merge in a deal worth four billion.": "business",
    "The company reported higher sales in the third quarter.": "business",
    "Heavy rain and strong winds are expected along the coast tonight.": "weather",
    "Temperatures will drop below freezing with snow on high ground.": "weather",
    "A storm warning is in force until Sunday morning.": "weather",
    "Sunny spells and light showers in the afternoon.": "weather",
    "Whisk the eggs with sugar and fold in the flour.": "cooking",
    "Simmer the tomato sauce with garlic and basil for an hour.": "cooking",
    "Roast the potatoes in olive oil until they are crisp.": "cooking",
    "Season the chicken and leave it to marinate in the kitchen overnight.": "cooking",
    "Doctors tested a new vaccine against the flu.": "health",
    "The hospital treated patients with a rare infection.": "health",
    "A study links poor sleep to heart disease.": "health",
    "The medicine lowers blood pressure in most patients.": "health",
}
SUPPORT = ClassificationTask(
    labels=("refund", "delivery", "password"),
    examples={
        "refund": ("I want my money back", "please reimburse me for the broken lamp", "when do I get my refund?"),
        "delivery": ("where is my parcel?", "the courier never came", "my order has not arrived"),
        "password": ("I cannot log in", "reset my password please", "my account is locked"),
    },
    source_type="customer message",
)
SUPPORT_ANSWERS = {
    "the parcel was due on Monday and has still not come": "delivery",
    "could you refund the amount to my card": "refund",
    "I forgot the password of my account": "password",
    "the package is lost": "delivery",
    "you charged me too much, give me my money back": "refund",
    "login fails every time": "password",
}
TAGS = ClassificationTask(
    labels=("price", "staff", "food", "noise"), mode="multi", source_type="hotel review", threshold=0.3
)


@pytest.mark.parametrize(("task", "answers"), [(NEWS, NEWS_ANSWERS), (SUPPORT, SUPPORT_ANSWERS)])
def test_plain_texts_get_their_plain_label(
    engine: MiniLm | Static, task: ClassificationTask, answers: dict[str, str]
) -> None:
    predictions = engine.bind(task).classify(list(answers))
    found = {text: prediction.labels[0].label for text, prediction in zip(answers, predictions, strict=True)}
    assert found == answers


def test_a_text_about_two_things_gets_both_tags(minilm: MiniLm) -> None:
    (prediction,) = minilm.bind(TAGS).classify(["The food was delicious but the staff was rude."])
    assert {label.label for label in prediction.labels} == {"staff", "food"}


def test_confidence_is_higher_for_a_plain_text_than_for_a_vague_one(engine: MiniLm | Static) -> None:
    plain, vague = engine.bind(NEWS).classify(["The team won the football match.", "This is what they told us."])
    assert plain.labels[0].confidence > vague.labels[0].confidence + 0.2


def test_a_label_alone_is_told_from_its_absence(engine: MiniLm | Static) -> None:
    alone = ClassificationTask(labels=("complaint about noise",), source_type="hotel review")
    noisy, other = engine.bind(alone).classify(
        ["The noise from the street kept us awake all night.", "Breakfast was served until eleven."]
    )
    assert noisy.labels[0].confidence > other.labels[0].confidence + 0.2


def test_labels_alone_are_as_sure_of_their_texts_with_few_examples_as_with_none(engine: MiniLm | Static) -> None:
    sure = {0: 0.0, 1: 0.0, 2: 0.0}
    for label in NEWS.labels:
        *examples, third, fourth = (text for text, answer in NEWS_ANSWERS.items() if answer == label)
        for count in sure:
            alone = ClassificationTask(
                labels=(label,),
                descriptions={label: NEWS.descriptions[label]},
                examples={label: tuple(examples[:count])},
                source_type=NEWS.source_type,
            )
            sure[count] += sum(one.labels[0].confidence for one in engine.bind(alone).classify([third, fourth])) / 10
    assert min(sure[1], sure[2]) >= sure[0] - 0.03
