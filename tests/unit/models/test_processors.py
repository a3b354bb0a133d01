from __future__ import annotations

from pathlib import Path

import pytest

from models.processors import processor_quota, usable_processors


def quota_of(folder: Path, own: str, limits: dict[str, str]) -> float | None:
    (folder / "own").write_text(own)
    for group, limit in limits.items():
        path = folder / "cgroups" / group
        path.mkdir(parents=True, exist_ok=True)
        (path / "cpu.max").write_text(f"{limit}\n")
    return processor_quota(folder / "cgroups", folder / "own")


def test_a_container_has_the_processors_that_its_quota_allows(tmp_path: Path) -> None:
    assert quota_of(tmp_path, "0::/\n", {"": "150000 100000"}) == 1.5


def test_the_narrowest_of_the_groups_above_a_process_counts(tmp_path: Path) -> None:
    limits = {"pod": "200000 100000", "pod/box": "max 100000", "other": "10000 100000"}
    assert quota_of(tmp_path, "0::/pod/box\n", limits) == 2.0


def test_without_a_limit_there_is_no_quota(tmp_path: Path) -> None:
    assert quota_of(tmp_path, "0::/\n", {"": "max 100000"}) is None
    assert quota_of(tmp_path, "4:memory:/box\n0::/box\n", {}) is None
    assert processor_quota(tmp_path, tmp_path / "none") is None


OF_VERSION_1 = "12:cpuset:/box\n4:cpu,cpuacct:/docker/box\n1:name=systemd:/docker/box\n0::/\n"


def write_version_1(folder: Path, group: str, quota: int, period: int = 100_000) -> None:
    path = folder / "cgroups" / group
    path.mkdir(parents=True, exist_ok=True)
    (path / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (path / "cpu.cfs_period_us").write_text(f"{period}\n")


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize("group", ["docker/box", "docker", ""])
def test_version_1_has_quotas_too(tmp_path: Path, mount: str, group: str) -> None:
    write_version_1(tmp_path, f"{mount}/{group}", 50_000, 20_000)
    assert quota_of(tmp_path, OF_VERSION_1, {}) == 2.5


def test_the_narrowest_group_of_version_1_counts(tmp_path: Path) -> None:
    for group, quota in {"": -1, "docker": 150_000, "docker/box": 400_000, "other": 1_000}.items():
        write_version_1(tmp_path, f"cpu/{group}", quota)
    write_version_1(tmp_path, "cpuset/box", 1_000)
    assert quota_of(tmp_path, OF_VERSION_1, {}) == 1.5


def test_groups_of_version_1_without_a_limit_have_no_quota(tmp_path: Path) -> None:
    write_version_1(tmp_path, "cpu/docker/box", -1)
    assert quota_of(tmp_path, OF_VERSION_1, {}) is None


@pytest.mark.parametrize(("quota", "usable"), [(None, 4), (0.2, 1), (1.5, 2), (64.0, 4)])
def test_processors_that_the_quota_does_not_pay_for_are_not_used(
    quota: float | None, usable: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1, 2, 3})
    monkeypatch.setattr("models.processors.processor_quota", lambda: quota)
    assert usable_processors() == usable
