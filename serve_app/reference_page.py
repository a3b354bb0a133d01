"""The reference at ``/docs``, for browsers that may not reach more than the service itself."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

# Only its copy of Swagger UI is used.
_PACKAGE = "fastapi_offline"
_ASSETS = "/docs/assets"


def install_reference_page(app: FastAPI) -> None:
    """Serve ``/docs`` with all that it loads. Where the package of that is missing, browsers load it from the web."""
    package = find_spec(_PACKAGE)
    own: dict[str, Any] = {}
    if package is not None and package.origin is not None:
        app.mount(_ASSETS, StaticFiles(directory=Path(package.origin).with_name("static")))
        own = {
            "swagger_js_url": f"{_ASSETS}/swagger-ui-bundle.js",
            "swagger_css_url": f"{_ASSETS}/swagger-ui.css",
            "swagger_favicon_url": f"{_ASSETS}/favicon.png",
        }

    @app.get("/docs", include_in_schema=False)
    async def reference_page() -> HTMLResponse:
        return get_swagger_ui_html(openapi_url="/openapi.json", title=app.title, **own)
