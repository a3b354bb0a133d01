"""The Serve application: `serve run serve_app.deployment:build` or a Serve config file."""

from typing import Any

from ray import serve
from ray.serve import Application

from pipelines.settings import Settings
from serve_app.api import build_app

APPLICATION_NAME = "labelworks"


def build(args: dict[str, Any]) -> Application:
    """The application; ``args`` are settings that take precedence over the environment."""
    settings = Settings(**args)

    def build_asgi() -> Any:
        return build_app(settings)

    ingress = serve.deployment(
        name="api",
        num_replicas=settings.api_replicas,
        # The control plane asks for no CPU, so that a small machine's CPUs all classify.
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=200,
        max_queued_requests=400,
    )(serve.ingress(build_asgi)())
    return ingress.bind()
