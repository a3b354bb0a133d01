"""What one check found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """``ok`` is None where the check could not be made, as the cluster has no worker now, which is no failure.
    ``found`` is what was seen; ``advice`` what to do about it: always where ``ok`` is not true, and where something is
    missing that not everybody needs.
    """

    check: str
    ok: bool | None
    found: str
    advice: str = ""
