"""What README.md tells operators to type and to rely on, checked against what will read it."""

import importlib
import json
import os
import re
import shlex
import subprocess
from typing import Any, get_args

import botocore.session
import pytest
from botocore.validate import ParamValidator

from models.registry import engine_module_file, engine_names
from pipelines import exceptions, layout
from pipelines.ndjson import ErrorCode
from serve_app import exceptions as refusals
from serve_app.errors import _HTTP_CODES, error_response
from tests.unit.operations.cluster_files import ROOT, cluster
from tests.unit.operations.readme import README, shell_blocks


def json_option(option: str) -> dict[str, Any]:
    """What the README passes to an option of the ``aws`` command line as JSON."""
    (given,) = re.findall(rf"--{option}\s(?:\\\n)?\s*'(\{{.*?\}})'\n", README, re.DOTALL)
    value: dict[str, Any] = json.loads(given)
    return value


@pytest.mark.parametrize(
    ("operation", "option", "parameter"),
    [
        ("PutBucketCors", "cors-configuration", "CORSConfiguration"),
        ("PutBucketLifecycleConfiguration", "lifecycle-configuration", "LifecycleConfiguration"),
    ],
)
def test_s3_knows_every_field_of_the_rules_for_the_bucket(operation: str, option: str, parameter: str) -> None:
    shape = botocore.session.get_session().get_service_model("s3").operation_model(operation).input_shape

    report = ParamValidator().validate({"Bucket": "bucket", parameter: json_option(option)}, shape)

    assert not report.has_errors(), report.generate_report()


def test_the_rule_for_web_pages_allows_uploads_and_downloads_from_one_origin() -> None:
    (rule,) = json_option("cors-configuration")["CORSRules"]

    assert sorted(rule["AllowedMethods"]) == ["GET", "POST"]
    assert "*" not in rule["AllowedOrigins"]


def test_the_backup_names_every_prefix_that_the_service_writes_under() -> None:
    (row,) = (line for line in README.splitlines() if line.startswith("| backup |"))
    keys = [value for name, value in vars(layout).items() if name.endswith(("_PREFIX", "_KEY"))]

    assert len(keys) >= 8
    assert {key.partition("/")[0] for key in keys} == set(re.findall(r"`(\w+)/`", row))


@pytest.mark.parametrize("engine", sorted({*engine_names()} - {"blend"}))
def test_the_table_of_models_names_what_an_engine_loads_where_nothing_is_named(engine: str) -> None:
    (row,) = (line for line in README.splitlines() if line.startswith(f"| `{engine}`"))
    module = importlib.import_module(f"models.engines.{engine_module_file(engine).stem}")

    assert (f"`{module.DEFAULT_MODEL}`" if hasattr(module, "DEFAULT_MODEL") else module.WEIGHTS.model.split()[0]) in row


def test_the_table_of_errors_has_every_code_that_the_api_answers_with_its_status_and_no_other() -> None:
    errors = README.partition("\n## Errors\n")[2].partition("\n## ")[0]
    told = re.findall(r"^\| (\d+) \| `(\w+)` \|", errors, re.MULTILINE)
    named = {**vars(exceptions), **vars(refusals)}.values()
    kinds = [kind for kind in named if isinstance(kind, type) and issubclass(kind, Exception)]
    answers = [error_response(kind(retry_after=1)) for kind in kinds]
    given = {(answer.status_code, json.loads(answer.body)["code"]) for answer in answers} | {*_HTTP_CODES.items()}

    assert sorted((int(status), code) for status, code in told) == sorted(given)
    assert set(get_args(ErrorCode)) == set(re.findall(r"`([a-z_]+)`", errors.rpartition("Error lines")[2]))


@pytest.mark.parametrize(("target", "minutes"), [("fuzz", "10"), ("soak", "20")])
def test_fuzzing_and_soaking_take_the_minutes_that_the_readme_says_and_those_that_are_given(
    target: str, minutes: str
) -> None:
    def planned(*arguments: str, **variables: str) -> str:
        # This may itself run below `make test`, whose variables would change what make prints.
        inherited = ("MINUTES", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
        environment = {name: value for name, value in os.environ.items() if name not in inherited} | variables
        command = ["make", "--no-print-directory", "-n", target, *arguments]
        printed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
        words = shlex.split(printed.splitlines()[-1])
        return words[words.index("--minutes") + 1]

    (line,) = (line for line in README.splitlines() if line.startswith(f"make {target} "))
    assert f"MINUTES={minutes}" in line
    assert planned() == minutes
    assert planned("MINUTES=3") == "3"
    assert planned(MINUTES="4") == "4"


def test_machines_of_ones_own_start_ray_as_those_of_cluster_yaml_do() -> None:
    def variables(text: str) -> dict[str, str]:
        return dict(re.findall(r"\b((?:RAY|MALLOC)_\w+)=(\S+)", text))

    def options(text: str) -> set[str]:
        (line,) = re.findall(r"\bray start (.+)", text.replace("\\\n", ""))
        return set(shlex.split(line, comments=True))

    everywhere, head, worker, _ = shell_blocks("### On machines of your own")
    _, clusters_head, _ = cluster()["head_start_ray_commands"]
    _, clusters_worker = cluster()["worker_start_ray_commands"]

    assert variables(everywhere) == variables(clusters_head) | variables(clusters_worker)
    assert options(head) - {"--num-cpus=0"} == options(clusters_head) - {
        "--autoscaling-config=~/ray_bootstrap_config.yaml"
    }
    assert options(worker.replace("HEAD:", "$RAY_HEAD_IP:")) == options(clusters_worker)
