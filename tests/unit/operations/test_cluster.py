"""cluster.yaml, checked offline by the code that will read it: Ray's launcher, botocore, Ray's command line, make."""

import copy
import importlib
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from ray.autoscaler._private.aws.config import _create_default_inbound_rules
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import cli as ray_cli
from ray.serve.scripts import cli as serve_cli

from pipelines.settings import Settings
from serve_app.admission import Capacity
from serve_app.driver_pool import classifier_slots
from serve_app.proxy_answers import PROXY_CALLBACK, PROXY_CALLBACK_VARIABLE
from serve_app.spare_processes import PRELOAD_VARIABLE, PRELOADED, PRESTART_VARIABLE
from tests.unit.operations.cluster_files import ROOT, cluster, serve_config

REMOTE_ROOT = "~/labelworks"
NODE_TYPES = sorted(cluster()["available_node_types"])
COMMAND_LISTS = (
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)


def commands() -> Iterator[str]:
    """The single commands of every shell line."""
    for name in COMMAND_LISTS:
        for line in cluster()[name]:
            yield from (part.strip() for part in re.split(r"&&|\|\||;|\bdo\b|\buntil\b|\bwhile\b|\bdone\b|'", line))


def arguments_of(program: str) -> list[list[str]]:
    """The arguments of every call of a program of the virtual environment."""
    path = f"{REMOTE_ROOT}/.venv/bin/{program}"
    return [shlex.split(command.partition(path)[2]) for command in commands() if path in command]


def mounted() -> list[str]:
    """What of this repository a node gets."""
    mounts: dict[str, str] = cluster()["file_mounts"]
    of_repository = {remote: local for remote, local in mounts.items() if remote.startswith(REMOTE_ROOT)}
    assert all(remote == f"{REMOTE_ROOT}/{local}" for remote, local in of_repository.items())
    return list(of_repository.values())


def node_config(node_type: str) -> dict[str, Any]:
    config: dict[str, Any] = cluster()["available_node_types"][node_type]["node_config"]
    return config


def test_rays_launcher_accepts_the_file() -> None:
    validate_config(prepare_config(copy.deepcopy(cluster())))


def test_rays_launcher_would_refuse_a_misspelt_field() -> None:
    misspelt = cluster() | {"idle_timeout": 5}

    with pytest.raises(Exception, match="idle_timeout"):
        validate_config(prepare_config(misspelt))


@pytest.mark.parametrize("node_type", NODE_TYPES)
def test_ec2_knows_every_parameter_of_a_node(node_type: str) -> None:
    shape = botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape

    report = ParamValidator().validate(node_config(node_type) | {"MinCount": 1, "MaxCount": 1}, shape)

    assert not report.has_errors(), report.generate_report()


def test_the_security_group_is_one_that_the_readme_makes_since_the_launcher_opens_ssh_to_everybody() -> None:
    launchers = _create_default_inbound_rules(["sg-1"], [])
    assert any(span["CidrIp"] == "0.0.0.0/0" for rule in launchers for span in rule.get("IpRanges", []))

    assert cluster()["provider"]["security_group"] == {"GroupName": "labelworks-cluster"}
    readme = (ROOT / "README.md").read_text()
    assert "aws ec2 create-security-group --group-name labelworks-cluster " in readme
    assert "allow --protocol all --source-group $GROUP" in readme
    opened = [
        shlex.split(line, comments=True) for line in readme.splitlines() if line.startswith("allow --protocol tcp")
    ]
    assert [rule[rule.index("--port") + 1] for rule in opened] == ["22", "8000"]
    # The API is open to the load balancer's group, not to addresses.
    assert "--cidr" not in opened[1]
    assert "0.0.0.0/0" not in readme


def test_the_head_offers_no_cpu_and_every_gpu_worker_whole_gpus() -> None:
    types = cluster()["available_node_types"]

    assert types[cluster()["head_node_type"]]["resources"] == {"CPU": 0}
    workers = {name: each for name, each in types.items() if name != cluster()["head_node_type"]}
    assert all(each["min_workers"] == 0 for each in workers.values())
    assert all(float(each["resources"].get("GPU", 0)).is_integer() for each in workers.values())
    assert sum(each["max_workers"] for each in workers.values()) <= cluster()["max_workers"]


def test_workers_have_a_profile_of_their_own_and_no_node_serves_its_credentials_to_the_network() -> None:
    head = cluster()["head_node_type"]

    assert all(node_config(each)["IamInstanceProfile"]["Name"].startswith("labelworks-") for each in NODE_TYPES)
    assert all(
        node_config(each)["IamInstanceProfile"] != node_config(head)["IamInstanceProfile"]
        for each in NODE_TYPES
        if each != head
    )
    assert all(
        node_config(each)["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}
        for each in NODE_TYPES
    )


def test_the_job_registry_counts_the_gpus_that_the_cluster_can_have() -> None:
    types = cluster()["available_node_types"].values()
    gpus = sum(each["max_workers"] * each["resources"].get("GPU", 0) for each in types if "max_workers" in each)
    settings = serve_config()["applications"][0]["args"]

    assert settings["gpu_classifier_slots"] * settings["classifier_gpus"] == gpus


def test_one_large_cpu_job_asks_for_more_than_one_worker_holds_and_all_jobs_for_no_more_than_there_may_be() -> None:
    worker = cluster()["available_node_types"]["cpu-worker"]
    settings = Settings(**serve_config()["applications"][0]["args"])
    slots = classifier_slots(settings, {}, on_gpu=False)
    for_large_jobs = slots - Capacity.of(slots, settings.kept_slots_share).kept

    assert for_large_jobs * settings.classifier_cpus > worker["resources"]["CPU"]
    assert slots * settings.classifier_cpus < worker["max_workers"] * worker["resources"]["CPU"]


def test_every_call_of_ray_and_serve_is_one_that_their_command_lines_parse() -> None:
    calls = [(ray_cli, call) for call in arguments_of("ray")] + [(serve_cli, call) for call in arguments_of("serve")]

    assert len(calls) >= 5
    for group, (name, *arguments) in calls:
        group.commands[name].make_context(name, arguments)


def test_every_start_of_ray_demands_the_token_and_the_dashboard_listens_to_its_own_machine_only() -> None:
    starts = [command for command in commands() if "/ray start" in command or "/serve deploy" in command]

    assert len(starts) == 3
    assert all("RAY_AUTH_MODE=token" in start for start in starts)
    assert "--dashboard-host=127.0.0.1" in next(start for start in starts if "--head" in start)
    assert cluster()["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


def test_every_node_asks_the_metadata_service_for_credentials_more_than_once_and_gives_it_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starts = [command for command in commands() if "/ray start" in command]

    assert len(starts) == 2
    for start in starts:
        for name, value in re.findall(r"(AWS_\w+)=(\S+)", start.partition("/ray start")[0]):
            monkeypatch.setenv(name, value)
        session = botocore.session.Session()
        asked = [session.get_config_variable(f"metadata_service_{name}") for name in ("num_attempts", "timeout")]
        assert asked == [5, 3]
        monkeypatch.undo()


def test_no_node_whose_processors_are_all_taken_ends_a_reading_process_between_two_ranges() -> None:
    # Ray ends idle processes for which no processor is free, by default after a second.
    starts = [command for command in commands() if "/ray start" in command]

    assert len(starts) == 2
    assert all("RAY_idle_worker_killing_time_threshold_ms=60000 " in start for start in starts)


def test_a_nodes_processes_keep_a_pool_of_memory_a_processor() -> None:
    starts = [command for command in commands() if "/ray start" in command]

    assert len(starts) == 2
    assert all(" MALLOC_ARENA_MAX=$(nproc) " in start for start in starts)


def test_a_nodes_spare_processes_load_what_classifiers_need_and_none_but_those_are_started_ahead() -> None:
    starts = [command for command in commands() if "/ray start" in command]

    assert len(starts) == 2
    assert all(f" {PRELOAD_VARIABLE}={PRELOADED} {PRESTART_VARIABLE}=0 " in start for start in starts)


def test_the_head_does_not_remember_a_hundred_thousand_polls() -> None:
    (head,) = (command for command in commands() if "/ray start --head" in command)

    assert " RAY_task_events_max_num_task_in_gcs=1000 " in head


def test_the_proxys_own_answers_are_in_the_contracts_shape() -> None:
    assert serve_config()["proxy_location"] == "HeadOnly"
    head = next(command for command in commands() if "/ray start --head" in command)
    assert f"{PROXY_CALLBACK_VARIABLE}={PROXY_CALLBACK} " in head
    module, function = PROXY_CALLBACK.rsplit(".", 1)
    assert getattr(importlib.import_module(module), function)()


def test_every_file_that_a_command_names_is_in_the_repository() -> None:
    named = [word for command in commands() for word in shlex.split(command) if word.startswith(REMOTE_ROOT + "/")]
    files = [word.removeprefix(REMOTE_ROOT + "/") for word in named if "/.venv/" not in word]

    assert files
    assert [name for name in files if not (ROOT / name).exists()] == []
    assert [name for name in files if not any((ROOT / name).is_relative_to(ROOT / each) for each in mounted())] == []


def test_a_node_gets_what_it_is_installed_from_and_nothing_else_of_the_folder(tmp_path: Path) -> None:
    # Keys, customers' files and results lie in it too, beside the code.
    for path in mounted():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).symlink_to(ROOT / path)
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text())

    assert project["project"]["readme"] in mounted()
    assert set(mounted()) == {
        "Makefile",
        "constraints.txt",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        *(name.removesuffix("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]),
    }
    planned = subprocess.run(["make", "-n", "install"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    (constraints,) = re.findall(r"--constraint (\S+)", planned)
    assert (tmp_path / constraints).exists()


def test_the_commands_that_make_runs_on_a_node_exist() -> None:
    targets = [shlex.split(command) for command in commands() if command.startswith("make ")]

    assert len(targets) == 2
    for _, option, folder, *rest in targets:
        assert (option, folder) == ("-C", REMOTE_ROOT)
        planned = subprocess.run(["make", "-n", *rest], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        extras = rest[1].removeprefix("EXTRAS=")
        assert f"'.[{extras}]'" in planned
        assert set(extras.split(",")) <= declared_extras()


def test_a_node_installs_the_engines_that_its_jobs_may_ask_for() -> None:
    models = serve_config()["applications"][0]["args"]["models"]
    # The head answers previews.
    for commands_of in ("head_setup_commands", "worker_setup_commands"):
        installed = {extra for each in cluster()[commands_of] for extra in each.partition("EXTRAS=")[2].split(",")}

        assert {model for model in models if model in declared_extras()} <= installed


def declared_extras() -> set[str]:
    text = Path(ROOT / "pyproject.toml").read_text()
    section = text.partition("[project.optional-dependencies]")[2].partition("\n[project.scripts]")[0]
    return set(re.findall(r"^(\w+) = \[", section, re.MULTILINE))


def test_all_operators_share_one_key_pair_that_the_readme_makes() -> None:
    # Of a key pair that the launcher made for one of them, another's launcher knows nothing, and replaces the head.
    assert {node_config(each)["KeyName"] for each in NODE_TYPES} == {"labelworks"}
    made = "aws ec2 create-key-pair --key-name labelworks --query KeyMaterial --output text"
    kept = cluster()["auth"]["ssh_private_key"]
    # A second time it would fail, and have emptied the only file that has the key.
    assert f"[ -s {kept} ] || (umask 077\n  {made} > {kept})\n" in (ROOT / "README.md").read_text()
