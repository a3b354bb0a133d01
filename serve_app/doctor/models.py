"""The engines that jobs may ask for: whether this machine has what it needs of them."""

from __future__ import annotations

from collections.abc import Iterator

from models.exceptions import ModelError
from models.task import ClassificationTask
from pipelines.engines import engine_for, require_gpu, token_counter_for
from pipelines.settings import Settings
from serve_app.doctor.finding import Finding

_TASK = ClassificationTask(labels=("good", "bad"))


def examine_tokenizers(settings: Settings) -> Iterator[Finding]:
    """What the API and the drivers need of every engine: its tokenizer."""
    for model in settings.models:
        try:
            token_counter_for(settings, model).count(["doctor"])
        except (ModelError, ImportError) as error:
            yield Finding(f"tokenizer of {model}", False, str(error), _advice(model))
        else:
            yield Finding(f"tokenizer of {model}", True, "counts tokens on this machine")


def examine_engine_when_taken(settings: Settings, model: str, where: str) -> Iterator[Finding | None]:
    """As a task that waits for a node: None as soon as one has taken it, then what a job's classifier finds there."""
    yield None
    yield examine_engine(settings, model, where, for_jobs=True)


def examine_engine(settings: Settings, model: str, where: str, for_jobs: bool) -> Finding:
    """Load an engine here and classify a text with it; ``for_jobs``: on a GPU where jobs are given one."""
    try:
        engine = engine_for(settings, model)
        if for_jobs:
            require_gpu(settings, model, engine)
        answer = engine.bind(_TASK).classify(["doctor"])
    except (ModelError, ImportError) as error:
        return Finding(f"engine {model}", False, f"{where}: {error}", _advice(model))
    return Finding(f"engine {model}", len(answer) == 1, f"classifies {where}")


def _advice(model: str) -> str:
    return (
        f"Install what {model!r} needs on every node that classifies and on the head, which answers previews"
        f" (pip install 'labelworks[server,{model}]' and its weights, or their folder in LABELWORKS_MODEL_WEIGHTS), or"
        " take it out of LABELWORKS_MODELS."
    )
