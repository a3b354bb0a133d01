"""The API against its own description."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
from jsonschema import Draft202012Validator

from tests.integration.service import RunningStack, run_to_end

_SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


def test_schemathesis_finds_no_server_error_and_no_answer_that_is_not_described(
    stack: RunningStack, tmp_path: Path
) -> None:
    """Every call with valid and invalid data, with and without a key. That every valid request is accepted is not
    checked: a description cannot say that a label must be unique or a job started.
    """
    command = [_SCHEMATHESIS, "run", f"{stack.url}/openapi.json", "--checks", "all"]
    command += ["--exclude-checks", "positive_data_acceptance", "--max-examples", "2", "--seed", "1", "--no-shrink"]
    command += ["--header", f"Authorization: Bearer {stack.new_key('schemathesis')}", "--continue-on-failure"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=400, check=False)
    assert found.returncode == 0, found.stdout[-8000:] + found.stderr[-2000:]
    assert re.search(r"Tested: +\d\d", found.stdout)


def test_every_call_that_is_described_asks_for_a_key_before_it_looks_at_anything_else(stack: RunningStack) -> None:
    described = httpx.get(f"{stack.url}/openapi.json").json()["paths"]
    calls = [(method, path) for path, methods in described.items() for method in methods if path != "/health"]
    assert len(calls) >= 11
    for method, path in calls:
        assert described[path][method]["security"]
        answer = httpx.request(method, stack.url + path, content=b"{", headers={"Content-Type": "application/json"})
        assert answer.status_code == 401, (method, path, answer.text)


def test_the_lines_of_files_are_described_as_they_are(stack: RunningStack) -> None:
    document = httpx.get(f"{stack.url}/openapi.json").json()
    line = {"$ref": "#/components/schemas/ResultLine", "components": document["components"]}
    with stack.client(stack.new_key("described")) as client:
        data = b'{"id":7,"text":"Love it!"}\noops\n{"text":"I was charged twice"}\n'
        for mode, kind in (("single", "ClassifyLine"), ("multi", "TagLine")):
            _, results = run_to_end(client, data, mode=mode)
            for result, described in zip(results.splitlines(), (kind, "ErrorLine", kind), strict=True):
                one = {"$ref": f"#/components/schemas/{described}", "components": document["components"]}
                for schema in (line, one):
                    Draft202012Validator(schema).validate(json.loads(result))
    assert Draft202012Validator(line).is_valid({"label": "a"}) is False


def test_the_documentation_page_needs_no_other_server(stack: RunningStack) -> None:
    page = httpx.get(f"{stack.url}/docs").text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(loaded) >= 3
    for address in loaded:
        assert address.startswith("/"), address
        answer = httpx.get(stack.url + address)
        assert answer.status_code == 200
        assert answer.content


def test_a_wrong_method_is_a_405_that_names_all_the_right_ones(stack: RunningStack) -> None:
    with stack.client() as client:
        assert client.put("/v1/batch").headers["Allow"] == "GET, POST"
        assert client.put("/v1/keys/key_1").headers["Allow"] == "DELETE"
        assert client.get("/v1/batch/").status_code == 404
