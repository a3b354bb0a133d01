"""What one check found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """``found`` is what was seen; ``advice`` what to do about it: always where ``ok`` is false, and where something is
    missing that not everybody needs.
    """

    check: str
    ok: bool
    found: str
    advice: str = ""
