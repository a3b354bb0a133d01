from __future__ import annotations

import socket
from pathlib import Path

import pytest

from serve_app.embedded import ports
from serve_app.embedded.exceptions import EmbeddedStackError
from serve_app.embedded.ports import choose_port, free_port


def test_a_free_port_is_none_that_the_system_gives_to_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "range").write_text("22000\t60999\n")
    monkeypatch.setattr(ports, "_EPHEMERAL", tmp_path / "range")
    found = {free_port() for _ in range(50)}
    assert len(found) > 30
    assert min(found) >= 20_000
    assert max(found) < 22_000


@pytest.mark.parametrize("told", ["1024\t65535\n", "nonsense", ""])
def test_a_system_that_keeps_hardly_any_port_apart_gets_one_of_the_usual(
    told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "range").write_text(told)
    monkeypatch.setattr(ports, "_EPHEMERAL", tmp_path / "range")
    assert 20_000 <= free_port() < 32_768


def test_the_port_of_the_last_run_is_taken_again_where_it_is_free() -> None:
    last = free_port()
    assert choose_port(None, last) == last
    with socket.create_server(("127.0.0.1", last)):
        assert choose_port(None, last) != last


def test_a_taken_port_that_was_asked_for_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        with pytest.raises(EmbeddedStackError, match=f"Port {taken} is taken"):
            choose_port(taken, 0)


def test_it_says_so_when_no_port_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_is_free", lambda port: False)
    with pytest.raises(EmbeddedStackError, match="was found free in 100 tries; name one"):
        free_port()
