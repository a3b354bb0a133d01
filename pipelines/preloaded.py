"""What a process that waits for an actor loads meanwhile. RAY_preload_python_modules names this module, so that every
process that Ray starts imports it.
"""

from __future__ import annotations

import importlib
import os

# Ray tells a process that it starts ahead the nil job, which is all f.
if set(os.environ.get("RAY_JOB_ID", "")) == {"f"}:
    for _name in ("pipelines.dataset", "openvino", "models.engines.minilm"):
        importlib.import_module(_name)
