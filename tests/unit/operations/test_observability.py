"""The dashboard and the alert rules speak of series that exist."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.unit.operations.cluster_files import OPERATIONS, ROOT, read_yaml

SOURCES = ("serve_app/metrics.py", "pipelines/storage_metrics.py")
OF_SERVE = {
    "ray_serve_num_http_requests_total",
    "ray_serve_num_http_error_requests_total",
    "ray_serve_http_request_latency_ms_bucket",
}
OF_RAYS_NODES = {"ray_node_gpus_utilization"}
AGGREGATIONS = {"sum", "max"}


def declared() -> set[str]:
    """The names under which Prometheus sees what the service declares."""
    names = set()
    for source in SOURCES:
        text = (ROOT / source).read_text()
        for kind, name in re.findall(r"\b(Counter|Gauge|Histogram)\(\s*\"(labelworks_\w+)\"", text):
            suffixes = {"Counter": ["_total"], "Gauge": [""], "Histogram": ["_bucket", "_count", "_sum"]}[kind]
            names |= {f"ray_{name}{suffix}" for suffix in suffixes}
    return names


def series_of(expression: str) -> set[str]:
    return set(re.findall(r"\bray_\w+", expression))


def unaggregated(expression: str) -> set[str]:
    """The series of which the expression shows each process's own, those of dead processes too."""
    found = set()
    for series in re.finditer(r"\bray_\w+", expression):
        around: list[str] = []
        for bracket in re.finditer(r"[()]", expression[: series.start()]):
            if bracket[0] == ")":
                around.pop()
            else:
                of = re.search(r"(\w+)(\s+by\s+\([^()]*\)\s*)?$", expression[: bracket.start()])
                around.append(of[1] if of else "")
        if not AGGREGATIONS.intersection(around):
            found.add(series[0])
    return found


def dashboard() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((OPERATIONS / "grafana.json").read_text())
    return read


def rules() -> list[dict[str, Any]]:
    return [rule for group in read_yaml(OPERATIONS / "alerts.yaml")["groups"] for rule in group["rules"]]


def test_every_panel_shows_series_that_exist() -> None:
    shown = [series_of(target["expr"]) for panel in dashboard()["panels"] for target in panel["targets"]]

    assert all(shown)
    assert set().union(*shown) <= declared() | OF_SERVE | OF_RAYS_NODES


def test_rays_own_series_of_nodes_are_those_of_the_installed_ray() -> None:
    ray = find_spec("ray")
    assert ray is not None
    assert ray.origin is not None
    reporter = (Path(ray.origin).parent / "dashboard/modules/reporter/reporter_agent.py").read_text()

    assert all(f'"{name.removeprefix("ray_")}": Gauge(' in reporter for name in OF_RAYS_NODES)


def test_no_panel_has_a_line_for_each_process_that_ever_counted() -> None:
    each = 'rate(ray_a[5m]) / clamp_min(sum by (kind) (ray_b{kind="held"}), 1) + ray_c'
    assert unaggregated(each) == {"ray_a", "ray_c"}
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            assert not unaggregated(target["expr"]), panel["title"]


def test_every_series_of_ours_is_on_the_dashboard() -> None:
    shown = set().union(*(series_of(target["expr"]) for panel in dashboard()["panels"] for target in panel["targets"]))
    bases = {re.sub("_(bucket|count|sum)$", "", name) for name in shown}

    assert {re.sub("_(bucket|count|sum)$", "", name) for name in declared()} <= bases


def test_panels_do_not_overlap() -> None:
    cells = [
        (x, y)
        for position in (panel["gridPos"] for panel in dashboard()["panels"])
        for x in range(position["x"], position["x"] + position["w"])
        for y in range(position["y"], position["y"] + position["h"])
    ]

    assert len(cells) == len(set(cells))
    assert all(0 <= x < 24 for x, _ in cells)


def test_every_alert_is_about_series_that_exist_and_says_what_to_do() -> None:
    for rule in rules():
        assert series_of(rule["expr"]) <= declared() | OF_SERVE, rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["action"]


def test_an_alert_on_a_counter_also_sees_its_first_count_and_a_counter_that_is_not_there_yet() -> None:
    for rule in rules():
        assert rule["expr"].count("(") == rule["expr"].count(")"), rule["alert"]
        grown = re.findall(r"increase\((ray_\w+)", rule["expr"])
        for name in grown:
            assert re.search(rf"{name}(\{{[^}}]*\}})? unless {name} offset ", rule["expr"]), rule["alert"]
        assert len(re.findall(r"or\s+vector\(0\)", rule["expr"])) == 2 * len(grown), rule["alert"]


def test_no_series_is_labelled_with_a_job_or_an_account() -> None:
    for source in SOURCES:
        keys = re.findall(r"tag_keys=\(([^)]*)\)|_SECONDS, \(([^)]*)\)", (ROOT / source).read_text())
        assert not any(word in "".join(pair) for pair in keys for word in ("job", "account", "key"))
