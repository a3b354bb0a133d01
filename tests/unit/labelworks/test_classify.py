"""The calls that do everything."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from labelworks import AsyncLabelworks
from labelworks.errors import APIStatusError, BatchFailedError, InputError
from labelworks.progress import Progress
from tests.unit.labelworks.conftest import Perform
from tests.unit.labelworks.fake_service import API_KEY, FakeService


def test_a_frame_comes_back_with_the_results_beside_its_rows(perform: Perform) -> None:
    frame = pd.DataFrame({"text": ["one two", None, "three"], "n": [1, 2, 3]}, index=[10, 20, 30])
    joined = perform("classify")(frame, labels=["a"])
    assert list(joined.columns) == ["text", "n", "label", "confidence", "tokens", "error"]
    assert list(joined.index) == [10, 20, 30]
    assert joined.loc[10, ["label", "confidence", "tokens"]].tolist() == ["a", 0.9, 2]
    assert pd.isna(joined.loc[20, "label"])
    assert joined.loc[20, "error"] == "invalid_text"
    assert list(frame.columns) == ["text", "n"]


def test_a_multi_frame_holds_lists(perform: Perform) -> None:
    joined = perform("classify")(pd.DataFrame({"body": ["x"]}), labels=["a"], mode="multi", text_field="body")
    assert joined["labels"].tolist() == [["a"]]
    assert joined["confidences"].tolist() == [[0.9]]


def test_a_column_in_the_way_is_refused_before_anything_is_sent(perform: Perform, service: FakeService) -> None:
    frame = pd.DataFrame({"text": ["x"], "label": ["by hand"]})
    with pytest.raises(InputError, match="prefix"):
        perform("classify")(frame, labels=["a"])
    assert not service.seen
    assert perform("classify")(frame, labels=["a"], prefix="predicted_")["predicted_label"].tolist() == ["a"]


def test_a_missing_column_is_named_with_those_that_are_there(perform: Perform) -> None:
    with pytest.raises(InputError, match="no column 'text'; it has: body"):
        perform("classify")(pd.DataFrame({"body": ["x"]}), labels=["a"])


class Joined(pd.DataFrame):
    """A frame that knows the thread in which the results were joined to it, or fails then."""

    threads: ClassVar[list[threading.Thread]] = []
    failure: ClassVar[Exception | None] = None

    def assign(self, **columns: Any) -> Any:
        self.threads.append(threading.current_thread())
        if self.failure is not None:
            raise self.failure
        return super().assign(**columns)


def test_an_event_loop_does_not_wait_for_the_results_to_be_joined(service: FakeService) -> None:
    async def classified() -> Any:
        async with AsyncLabelworks(api_key=API_KEY, base_url=service.url) as client:
            return await client.classify(Joined({"text": ["x"]}), labels=["a"])

    Joined.threads.clear()
    assert asyncio.run(classified())["label"].tolist() == ["a"]
    assert threading.main_thread() not in Joined.threads
    assert len(Joined.threads) == 1


def test_an_error_while_results_are_joined_names_the_job(
    perform: Perform, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Joined, "failure", MemoryError())
    with pytest.raises(MemoryError) as raised:
        perform("classify")(Joined({"text": ["x"]}), labels=["a"])
    (job_id,) = service.jobs
    (note,) = raised.value.__notes__
    assert f"client.batches.download('{job_id}'" in note


@pytest.mark.parametrize("kind", [list, iter])
def test_items_come_back_as_they_were_with_their_results(perform: Perform, kind: Any) -> None:
    items = ["one two", {"text": "three", "tags": {"of any type"}}, {"title": "no text"}]
    classified = perform("classify")(kind(items), labels=["a"])
    for _ in range(2):
        pairs = list(classified)
        assert [item for item, _ in pairs] == items
        assert [result.tokens for _, result in pairs] == [2, 1, None]


def test_an_item_that_is_neither_string_nor_mapping_is_refused(perform: Perform, service: FakeService) -> None:
    with pytest.raises(InputError, match="Item 2 is a int"):
        perform("classify")(["x", 5], labels=["a"])
    assert not service.seen


@pytest.mark.parametrize("nothing", [[], iter([]), pd.DataFrame({"text": []})])
def test_nothing_to_classify_is_refused_before_a_job_is_made(
    perform: Perform, service: FakeService, nothing: Any
) -> None:
    with pytest.raises(InputError, match="no texts to classify"):
        perform("classify")(nothing, labels=["a"])
    assert not service.seen


@pytest.mark.parametrize("one", ["one text", b"one text", {"text": "one text"}])
def test_one_text_in_the_place_of_many_is_refused(perform: Perform, service: FakeService, one: Any) -> None:
    with pytest.raises(InputError, match=f"One {type(one).__name__} was passed; expected a list"):
        perform("classify")(one, labels=["a"])
    assert not service.seen


def test_two_text_columns_are_refused_before_a_job_is_made(perform: Perform, service: FakeService) -> None:
    with pytest.raises(InputError, match="2 columns 'text'"):
        perform("classify")(pd.DataFrame([["x", "y"]], columns=["text", "text"]), labels=["a"])
    assert not service.seen


@pytest.mark.parametrize("kind", [list, iter])
def test_the_ids_of_items_are_sent_and_in_their_results(perform: Perform, kind: Any) -> None:
    identities = [{"id": 1}, {"id": "b", "custom_id": 2.5}, {"id": pd.Series([7])[0]}, {"id": None}]
    pairs = perform("classify")(kind([{"body": "x", **ids} for ids in identities]), labels=["a"], text_field="body")
    assert [(result.label, result.id, result.custom_id) for _, result in pairs] == [
        ("a", 1, None),
        ("a", "b", 2.5),
        ("a", 7, None),
        ("a", None, None),
    ]


def test_a_text_of_bytes_is_the_string_that_they_hold(perform: Perform, service: FakeService) -> None:
    frame = pd.DataFrame({"text": ["n\u00e9e two".encode(), b"three", None]})
    assert perform("classify")(frame, labels=["a"])["label"].tolist()[:2] == ["a", "a"]
    pairs = perform("classify")([{"text": b"three"}], labels=["a"])
    assert [(item, result.label) for item, result in pairs] == [({"text": b"three"}, "a")]
    uploads = [json.loads(job.upload.splitlines()[0])["text"] for job in service.jobs.values()]
    assert uploads == ["n\u00e9e two", "three"]


def test_a_text_of_bytes_that_are_not_utf8_is_refused_before_a_job_is_made(
    perform: Perform, service: FakeService
) -> None:
    with pytest.raises(InputError, match="Text 2 is bytes that are not UTF-8"):
        perform("classify")(pd.DataFrame({"text": [b"one", b"Gr\xf6\xdfe"]}), labels=["a"])
    assert not service.seen


def test_temporary_files_live_as_long_as_the_iteration_and_no_longer(
    perform: Perform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pairs = iter(perform("classify")(iter(["x", "y"]), labels=["a"]))
    next(pairs)
    gc.collect()
    assert next(pairs)[0] == "y"
    del pairs
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_a_failed_job_leaves_no_temporary_file(
    perform: Perform, service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    service.end = "failed"
    with pytest.raises(BatchFailedError):
        perform("classify")(["x"], labels=["a"])
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_sent_as_it_is_and_joined_line_by_line(
    perform: Perform, service: FakeService, tmp_path: Path
) -> None:
    path = tmp_path / "in.ndjson"
    path.write_bytes(b'\xef\xbb\xbf{"text":"one","n":1}\r\n\n[1]\nbroken\n{"text":"last"}')
    out = tmp_path / "out.ndjson"
    classified = perform("classify_file")(path, labels=["a"], out=out)
    assert [item for item, _ in classified] == [{"text": "one", "n": 1}, None, None, {"text": "last"}]
    assert service.jobs[classified.batch.job_id].upload == path.read_bytes()
    assert out.read_bytes().count(b"\n") == 4


def test_a_csv_file_is_converted_with_its_ids_and_joined_by_row(
    perform: Perform, service: FakeService, tmp_path: Path
) -> None:
    path = tmp_path / "in.csv"
    path.write_text('id,body,stars\n007,"two\nlines",5\n008,12.50,1\n')
    classified = perform("classify_file")(path, labels=["a"], text_field="body")
    upload = service.jobs[classified.batch.job_id].upload
    assert upload == b'{"id": "007", "text": "two\\nlines"}\n{"id": "008", "text": "12.50"}\n'
    assert [item["stars"] for item, _ in classified] == ["5", "1"]


def test_a_parquet_file_is_converted(perform: Perform, service: FakeService, tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    parquet.write_table(pa.table({"text": ["one", None], "n": [1, 2]}), path)
    classified = perform("classify_file")(path, labels=["a"])
    assert service.jobs[classified.batch.job_id].upload == b'{"text": "one"}\n{"text": null}\n'
    assert [(item["n"], result.label) for item, result in classified] == [(1, "a"), (2, None)]


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        ("missing/out.ndjson", "no folder"),
        ("-", "- is no file"),
        (".", "is a folder"),
        ("/proc/out.ndjson", "cannot be written to the folder /proc"),
    ],
)
def test_a_place_that_cannot_take_the_results_is_refused_before_a_job_is_made(
    perform: Perform, service: FakeService, tmp_path: Path, out: str, reason: str
) -> None:
    path = tmp_path / "in.ndjson"
    path.write_bytes(b'{"text":"one"}\n')
    with pytest.raises(InputError, match=reason):
        perform("classify_file")(path, labels=["a"], out=out if out == "-" else tmp_path / out)
    assert not service.seen


def test_a_result_file_that_is_the_input_is_refused_before_a_job_is_made(
    perform: Perform, service: FakeService, tmp_path: Path
) -> None:
    path, link = tmp_path / "in.ndjson", tmp_path / "link.ndjson"
    path.write_bytes(b'{"text":"one"}\n')
    link.symlink_to(path)
    for source, out in ((path, path), (path, link), (link, path)):
        with pytest.raises(InputError, match="would replace the texts"):
            perform("classify_file")(source, labels=["a"], out=out)
    assert path.read_bytes() == b'{"text":"one"}\n'
    assert not service.seen


@pytest.mark.parametrize(("name", "reason"), [("none.ndjson", "no file"), ("", "no file"), ("empty.ndjson", "0 bytes")])
def test_a_file_that_cannot_be_sent_is_refused_before_a_job_is_made(
    perform: Perform, service: FakeService, tmp_path: Path, name: str, reason: str
) -> None:
    (tmp_path / "empty.ndjson").touch()
    with pytest.raises(InputError, match=reason):
        perform("classify_file")(tmp_path / name, labels=["a"])
    assert not service.seen


@pytest.mark.parametrize(
    ("when", "advice"),
    [
        ("POST /storage", "client.batches.delete"),
        ("/start", "client.batches.start"),
        ("GET /v1/batch/batch_0000000000000000", "client.batches.wait"),
        ("/results", "client.batches.download"),
        ("GET /storage", "client.batches.download"),
    ],
)
def test_an_error_after_the_job_was_made_names_it(
    perform: Perform, service: FakeService, when: str, advice: str
) -> None:
    for _ in range(9):
        service.misbehave(when, status=403)
    with pytest.raises(APIStatusError) as raised:
        perform("classify")(["x"], labels=["a"])
    (note,) = raised.value.__notes__
    assert f"{advice}('batch_0000000000000000'" in note


def test_every_stage_is_told(perform: Perform) -> None:
    states: list[Progress] = []
    perform("classify")(["x"], labels=["a"], progress=states.append)
    assert list(dict.fromkeys(state.stage for state in states)) == ["upload", "queued", "completed", "download"]


def test_importing_the_client_imports_nothing_heavy() -> None:
    heavy = ["ray", "pandas", "pyarrow", "numpy", "pydantic", "typer", "boto3", "torch"]
    code = f"import sys, labelworks; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
