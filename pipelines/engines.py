"""The models that the operator's settings name."""

from __future__ import annotations

from models.protocol import Engine, TokenCounter
from models.registry import load_engine, load_token_counter
from pipelines.settings import Settings


def engine_for(settings: Settings, model: str, threads: int | None = None) -> Engine:
    """The engine with its weights loaded; ``threads`` instead of the classifiers' number.

    Raises as models.registry.load_engine does.
    """
    return load_engine(model, threads=threads or settings.classifier_threads, weights=settings.weights_of(model))


def token_counter_for(settings: Settings, model: str) -> TokenCounter:
    """Counts tokens as the engine does; loaded once a process."""
    return load_token_counter(model, weights=settings.weights_of(model))
