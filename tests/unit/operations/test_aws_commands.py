"""The calls of the ``aws`` command line in README.md, checked against what AWS says that it takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile

import botocore.session
import pytest
from botocore import xform_name
from botocore.model import ListShape, OperationModel, Shape, StructureShape

from pipelines.settings import Settings
from tests.unit.operations.cluster_files import cluster, serve_config
from tests.unit.operations.readme import README, shell_blocks

_SHELLS_OWN = "();<>|&\n"
_OF_EVERY_CALL = {"output", "query", "region"}
# The command line itself makes IpPermissions of these, which EC2 takes.
_OF_A_RULE = {"cidr", "port", "protocol", "source-group"}


def calls() -> Iterator[list[str]]:
    """The words that follow ``aws`` in each call."""
    for block in shell_blocks():
        joined = re.sub(r"(^|\s)#.*", "", block.replace("\\\n", " "))
        lexer = shlex.shlex(joined, posix=True, punctuation_chars=_SHELLS_OWN)
        lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
        words = iter(lexer)
        for word in words:
            if word == "aws":
                yield list(takewhile(lambda each: not set(each) <= set(_SHELLS_OWN), words))


CALLS = list(calls())


def operation_of(service: str, command: str) -> OperationModel:
    """Raises KeyError where AWS has none of that name."""
    model = botocore.session.get_session().get_service_model(service.removesuffix("api"))
    return model.operation_model({xform_name(name, "-"): name for name in model.operation_names}[command])


def given_options(words: list[str]) -> dict[str, list[str]]:
    """The values of each option."""
    options: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            options[word.removeprefix("--")] = []
        elif options:
            options[next(reversed(options))].append(word)
    return options


def unknown_fields(shape: Shape, values: list[str]) -> set[str]:
    """Of values in the short form Field=value,Field=value: those fields that AWS does not know."""
    inner = shape.member if isinstance(shape, ListShape) else shape
    if not isinstance(inner, StructureShape):
        return set()
    named = {name for value in values if value[0] != "{" for name in re.findall(r"(?:^|,)(\w+)=", value)}
    return named - inner.members.keys()


def refused(words: list[str]) -> list[str]:
    """What AWS would refuse of the call: no such operation, options and fields, and what is missing."""
    service, command, *rest = words
    try:
        operation = operation_of(service, command)
    except KeyError:
        return [command]
    options = given_options(rest)
    members = {xform_name(name, "-"): shape for name, shape in operation.input_shape.members.items()}
    own = _OF_EVERY_CALL | (_OF_A_RULE if command == "authorize-security-group-ingress" else set())
    unknown = options.keys() - members.keys() - own
    fields = {name for option, shape in members.items() for name in unknown_fields(shape, options.get(option, []))}
    missing = {xform_name(name, "-") for name in operation.input_shape.required_members} - options.keys()
    return sorted(unknown | fields | missing)


@pytest.mark.parametrize("words", CALLS, ids=[" ".join(words[:2]) for words in CALLS])
def test_aws_takes_every_call_that_the_readme_tells_to_make(words: list[str]) -> None:
    assert refused(words) == []


def test_every_call_is_among_those_that_are_checked() -> None:
    written = sum(len(re.findall(r"\baws [a-z]", re.sub(r"(^|\s)#.*", "", block))) for block in shell_blocks())

    assert len(CALLS) == written > 20


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        ("elbv2 create-balancer --name a", ["create-balancer"]),
        ("elbv2 create-load-balancer --name a --subnet b", ["subnet"]),
        ("elbv2 register-targets --target-group-arn a --targets Ids=b", ["Ids"]),
        ("elbv2 register-targets --target-group-arn a", ["targets"]),
        ("ec2 create-security-group --group-name a --description b --cidr c", ["cidr"]),
    ],
)
def test_what_aws_does_not_know_or_misses_would_be_found(call: str, wrong: list[str]) -> None:
    assert refused(call.split()) == wrong


def test_the_load_balancer_is_where_the_head_may_be_and_asks_the_port_that_serve_listens_on() -> None:
    (zones,) = re.findall(r"^ZONES=(\S+)", README, re.MULTILINE)
    (targets,) = (given_options(words) for words in CALLS if words[1] == "create-target-group")
    (tags,) = (given_options(words)["filters"] for words in CALLS if words[1] == "describe-instances")

    assert zones == cluster()["provider"]["availability_zone"]
    assert targets["port"] == [str(serve_config()["http_options"]["port"])]
    assert f"Name=tag:ray-cluster-name,Values={cluster()['cluster_name']}" in tags


def test_the_load_balancer_waits_for_previews_and_ends_idle_connections_before_serve_does() -> None:
    (given,) = (given_options(words) for words in CALLS if words[1] == "modify-load-balancer-attributes")
    (seconds,) = re.findall(r"Key=idle_timeout\.timeout_seconds,Value=(\d+)$", given["attributes"][0])

    assert Settings().preview_seconds < int(seconds) < serve_config()["http_options"]["keep_alive_timeout_s"]
