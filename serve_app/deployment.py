"""The Serve application: `serve run serve_app.deployment:build` or a Serve config file."""

from typing import Any

from ray import serve
from ray.serve import Application

from pipelines.logs import configure_logging
from pipelines.settings import Settings
from serve_app.api import build_app
from serve_app.placement import HEAD_RESOURCES
from serve_app.preview_deployment import preview_deployment

APPLICATION_NAME = "labelworks"


def build(args: dict[str, Any]) -> Application:
    """The application; ``args`` are settings that take precedence over the environment."""
    settings = Settings(**args).without_admin_key

    def build_asgi() -> Any:
        configure_logging(settings)
        # The environment of the head, where this runs, tells it to the API alone.
        admin_key = Settings(**args).admin_key
        return build_app(settings.model_copy(update={"admin_key": admin_key}))

    ingress = serve.deployment(
        name="api",
        num_replicas=settings.api_replicas,
        # The control plane asks for no CPU, so that a small machine's CPUs all classify.
        ray_actor_options={"num_cpus": 0, "resources": HEAD_RESOURCES},
        # The application itself refuses what is too much, in the contract's shape: Serve would do so in its own.
        max_ongoing_requests=10 * settings.requests_in_flight,
        max_queued_requests=-1,
    )(serve.ingress(build_asgi)())
    return ingress.bind(preview_deployment(settings).bind(settings))
