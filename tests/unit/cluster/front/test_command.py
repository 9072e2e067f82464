"""What `andon front` refuses before it listens, each in one line that names the option."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from cluster.cli import main
from cluster.commands.exit_codes import EXIT_USER_ERROR


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--host", "0.0.0.0"), "--host 0.0.0.0 is open to the network: give --tls-certificate"),
        (("--host", "label"), "--host: 'label' does not appear to be"),
        (("--tls-key", "key.pem"), "--tls-certificate and --tls-key belong together"),
        (
            ("--tls-certificate", "no.pem", "--tls-key", "no.pem"),
            "--tls-certificate no.pem is not there",
        ),
    ],
)
def test_where_it_may_not_listen_is_told_with_the_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["front", *options])
    assert (result.exit_code, result.output.count("\n")) == (EXIT_USER_ERROR, 1)
    assert result.output.startswith(f"andon: {said}")


def test_a_port_in_use_is_told_with_the_option() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(main, ["front", "--port", str(port)])
    assert result.exit_code == EXIT_USER_ERROR
    assert f"port {port} on 127.0.0.1 is in use" in result.output
    assert "set --port to another" in result.output
