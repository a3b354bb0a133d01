"""The Serve deployment that classifies previews, and how an API replica calls it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from ray import serve
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from models.processors import limit_tokenizer_threads
from pipelines.engines import engine_for
from pipelines.exceptions import LabelworksError, Unavailable
from pipelines.logs import configure_logging
from pipelines.settings import MIB, Settings
from serve_app.awake import Awake
from serve_app.placement import HEAD_RESOURCES
from serve_app.preview_classifier import PreviewAnswer, PreviewClassifier, PreviewRequest
from serve_app.preview_queue import PreviewQueue
from serve_app.preview_schemas import MAX_TEXTS

PREVIEW_NAME = "preview"
_CHARACTERS_IN_FLIGHT = 4 * MIB
_UNUSED_SECONDS = 10.0
"""After which Serve ends the last replica that no call is in flight to."""


class PreviewDeployment:
    """One replica: one thread that classifies, and a queue before it."""

    def __init__(self, settings: Settings) -> None:
        configure_logging(settings)
        limit_tokenizer_threads(settings.preview_threads)
        classifier = PreviewClassifier(lambda model: engine_for(settings, model, settings.preview_threads))
        self._queue = PreviewQueue(classifier.answer, MAX_TEXTS, settings.preview_seconds)

    async def answer(self, request: PreviewRequest) -> list[PreviewAnswer]:
        """Raises as PreviewQueue does."""
        return await self._queue.answer(request)

    async def hold(self, seconds: float) -> None:
        """Does nothing for so long."""
        await asyncio.sleep(seconds)


def preview_deployment(settings: Settings) -> Any:
    """No replica while nobody calls, and no CPU that a job could have."""
    resources: dict[str, Any] = {"num_cpus": 0, "num_gpus": settings.preview_gpus}
    if not settings.preview_gpus:
        resources["resources"] = HEAD_RESOURCES
    return serve.deployment(
        name=PREVIEW_NAME,
        ray_actor_options=resources,
        autoscaling_config={
            "min_replicas": 0,
            "initial_replicas": 0,
            "max_replicas": settings.preview_replicas,
            "target_ongoing_requests": settings.previews_in_flight,
            "upscale_delay_s": 0,
            "downscale_to_zero_delay_s": _UNUSED_SECONDS,
        },
        # Requests are counted where they come in, in every API replica.
        max_ongoing_requests=MAX_TEXTS,
        max_queued_requests=-1,
    )(PreviewDeployment)


class PreviewClient:
    """Calls the deployment from an API replica. Raises Unavailable for what is too much or takes too long."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._handle: DeploymentHandle[PreviewDeployment] | None = None
        self._awake = Awake(self._hold, settings.preview_idle_seconds)
        self._requests = 0
        self._characters = 0

    async def answer(self, request: PreviewRequest) -> list[PreviewAnswer]:
        """An answer for each text, in order."""
        characters = request.characters
        if self._requests >= self._settings.previews_in_flight or (
            self._requests and self._characters + characters > _CHARACTERS_IN_FLIGHT
        ):
            raise Unavailable(
                f"The service is answering {self._requests} preview calls with {self._characters:,} characters already."
                " Try again shortly, or send the texts as a batch job."
            )
        self._requests += 1
        self._characters += characters
        try:
            answers = await self._call(request)
            self._awake.used()
            return answers
        finally:
            self._requests -= 1
            self._characters -= characters

    def _deployment(self) -> DeploymentHandle[PreviewDeployment]:
        if self._handle is None:
            self._handle = serve.get_deployment_handle(PREVIEW_NAME)
        return self._handle

    async def _hold(self, seconds: float) -> None:
        await self._deployment().hold.remote(seconds)

    async def _call(self, request: PreviewRequest) -> list[PreviewAnswer]:
        answer = self._deployment().answer.remote(request)
        try:
            return cast(list[PreviewAnswer], await asyncio.wait_for(answer, self._settings.preview_seconds))
        except RayTaskError as error:
            if isinstance(error.cause, LabelworksError):
                raise error.cause from None
            raise
        except TimeoutError as error:
            answer.cancel()  # type: ignore[no-untyped-call]
            raise Unavailable(
                f"The preview took longer than {self._settings.preview_seconds:.0f} s. Try again shortly, with fewer"
                " texts, or send them as a batch job."
            ) from error
        except (RayActorError, RayServeException) as error:
            raise Unavailable("The preview is restarting. Try again shortly.") from error
