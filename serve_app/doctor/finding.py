"""What one check found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """``found`` is what was seen; ``advice``, where ``ok`` is false, what to do about it."""

    check: str
    ok: bool
    found: str
    advice: str = ""
