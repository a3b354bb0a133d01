"""Drivers that were taken for a job and not used."""

from __future__ import annotations

import pytest

from pipelines.settings import Settings
from serve_app import spare_drivers
from serve_app.spare_drivers import DriverProcess, SpareDrivers


@pytest.mark.parametrize("spares", [0, 1, 2])
def test_no_more_drivers_than_the_spares_that_are_kept_outlive_jobs_that_did_not_use_them(
    spares: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[object] = []
    monkeypatch.setattr(spare_drivers.ray, "kill", lambda actor, no_restart: ended.append(actor))
    kept = SpareDrivers(Settings(spare_drivers=spares), on_prepared=lambda: None)
    for number in range(4):
        kept.put_back(DriverProcess(f"driver-{number}", actor=number))
    assert ended == list(range(spares, 4))
