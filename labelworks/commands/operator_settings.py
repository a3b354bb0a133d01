"""What a command says where the operator's settings, the ``LABELWORKS_…`` variables, are not valid."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from labelworks.commands.console import fail


@contextmanager
def settings_checked() -> Iterator[None]:
    """End the command with one line that names the setting. Needs the server's packages."""
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    try:
        yield
    except ValidationError as error:
        wrong = error.errors()[0]
        names = ".".join(str(name) for name in wrong["loc"][1:])
        of = f" of {names}" if names else ""
        reason = wrong.get("ctx", {}).get("error", wrong["msg"])
        fail(f"the setting LABELWORKS_{str(wrong['loc'][0]).upper()}{of} is not valid: {reason}")
    except SettingsError as error:
        fail(
            f"{error}: settings of several values are written in JSON, as are LABELWORKS_MODELS='[\"minilm\"]'"
            ' and LABELWORKS_MODEL_WEIGHTS=\'{"minilm": "/models/minilm"}\''
        )
