"""What a process that waits for an actor loads meanwhile. RAY_preload_python_modules names this module, so that every
process that Ray starts imports it.
"""

from __future__ import annotations

import importlib
import logging
import os

logger = logging.getLogger(__name__)

# Ray tells a process that it starts ahead the nil job, which is all f.
_WAITS = set(os.environ.get("RAY_JOB_ID", "")) == {"f"}


def load() -> None:
    """Load what classifiers need, and note which version of it that is."""
    # Where an actor asks for less than a whole CPU Ray sets the threads of numpy to one, too late for what is loaded.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for name in ("pipelines.dataset", "openvino", "models.engines.minilm"):
        try:
            importlib.import_module(name)
        except Exception:
            # Whatever needs it fails on it and says so; this process may be for something else.
            logger.exception("%s cannot be loaded ahead", name)
    importlib.import_module("models.fingerprint").installed_code()
    importlib.import_module("pipelines.engines").code_of_lines()


if _WAITS:
    load()
