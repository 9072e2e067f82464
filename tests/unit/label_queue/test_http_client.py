"""No proxy stands between this machine and itself, and a bad one is named."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from label_queue.connector_config import LabelStudioConfig
from label_queue.connectors.outposts import check_tools
from label_queue.http_client import open_client
from label_queue.simulated.__main__ import main
from protocol.errors import ConfigError

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[str]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("variable", ["http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "socks5://127.0.0.1:1", "ftp://x", "://"])
def test_loopback_is_reached_whatever_the_proxies(
    monkeypatch: pytest.MonkeyPatch, server: str, variable: str, proxy: str
) -> None:
    monkeypatch.setenv(variable, proxy)
    with open_client(httpx.Client, server) as client:
        assert client.get("/").status_code == 204


def test_others_are_reached_through_the_proxy(monkeypatch: pytest.MonkeyPatch, server: str) -> None:
    monkeypatch.setenv("http_proxy", server)
    with open_client(httpx.Client, "http://tool.invalid") as client:
        assert client.get("/").status_code == 204


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("socks5://10.0.0.1:1080", "names a SOCKS proxy.*tool.invalid into NO_PROXY"),
        ("ftp://10.0.0.1", "Unknown scheme for proxy URL.*see HTTP_PROXY"),
        ("http://[::1", "Invalid port.*see HTTP_PROXY"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_told_before_the_run(
    monkeypatch: pytest.MonkeyPatch, proxy: str, said: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.setenv("TOKEN", "secret")
    tool = LabelStudioConfig(
        kind="label_studio", url="http://tool.invalid", token_env="TOKEN", project_id=1
    )
    with pytest.raises(ConfigError, match=f"http://tool.invalid: .*{said}"):
        check_tools([tool])


NO_URLS = (
    *("", "x", "ftp://h", "http://", "http://[", "http://h:x", "//h"),
    *(f"http://{'h' * 64}.example", "http://a..b", "http://x\udcff"),
)


@pytest.mark.parametrize("url", NO_URLS, ids=ascii)
def test_what_is_no_url_is_said(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token").write_text("secret")
    arguments = ["--profile", "{}", "--report", str(tmp_path / "r"), f"--url={url}"]
    assert main([*arguments, "--token-file", str(tmp_path / "token")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {url!r} is no URL")
