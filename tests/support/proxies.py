"""The real nginx and the real Caddy on loopback, with the very configs that are shipped.

Only what `docs/public_address.md` tells a user to change is changed: ports, path, certificate.
Where one is not installed its tests are skipped; with ANDON_REQUIRE_BROWSER=1 that is an error.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import shutil
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.needed import needed
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
NAME = "label.example.org"
"""The host's name in the shipped configs. Nobody is asked for its address."""
PATH = "/run-a"
SEARCHED = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
"""Where Debian puts nginx is on root's PATH alone."""
NGINX_AROUND = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 128; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/labels.conf;
}}
"""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a proxy is to stand."""

    folder: Path
    prefix: str
    """The path below which the run is found: "/run-a", or ""."""
    tls_port: int
    plain_port: int

    @classmethod
    def free(cls, folder: Path, prefix: str = PATH) -> Place:
        """Return one at free ports, with a certificate for NAME in its folder."""
        make_certificate(folder)
        return cls(folder=folder, prefix=prefix, tls_port=free_port(), plain_port=free_port())

    @property
    def origin(self) -> str:
        return f"https://{NAME}:{self.tls_port}"

    @property
    def public_url(self) -> str:
        """What the run is told: `cluster.public_url`."""
        return self.origin + self.prefix

    @property
    def certificate(self) -> Path:
        return self.folder / "fullchain.pem"

    @property
    def key(self) -> Path:
        return self.folder / "privkey.pem"

    def client(self, at: str = "127.0.0.1") -> httpx.AsyncClient:
        """Return a client that finds NAME at an address, and believes its certificate alone."""
        trust = ssl.create_default_context(cafile=str(self.certificate))
        return httpx.AsyncClient(
            transport=_ToAddress(trust, at), base_url=self.origin, timeout=PATIENCE_S
        )


class _ToAddress(httpx.AsyncHTTPTransport):
    """Sends every request to one address, whatever host it is for."""

    def __init__(self, trust: ssl.SSLContext, at: str) -> None:
        super().__init__(verify=trust)
        self._at = at

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        sent = httpx.Request(
            request.method,
            request.url.copy_with(host=self._at),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": request.url.host},
        )
        return await super().handle_async_request(sent)


def make_certificate(folder: Path, host: str = NAME) -> tuple[Path, Path]:
    """Write a certificate for a host that signs itself, and its key; return where they are."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    chain, private = folder / "fullchain.pem", folder / "privkey.pem"
    chain.write_bytes(certificate.public_bytes(pem))
    private.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return chain, private


def nginx_command(place: Place, run_port: int) -> list[str]:
    """Write nginx's config; return what starts it."""
    text = _changed(
        "cluster/deploy/nginx/labels.conf",
        {
            "listen 80;": f"listen 127.0.0.1:{place.plain_port};",
            "listen 443 ssl http2;": f"listen 127.0.0.1:{place.tls_port} ssl http2;",
            f"https://{NAME}$request_uri": f"{place.origin}$request_uri",
            "server 127.0.0.1:8000;": f"server 127.0.0.1:{run_port};",
            f"/etc/letsencrypt/live/{NAME}/": f"{place.folder}/",
            PATH: place.prefix,
        },
    )
    (place.folder / "labels.conf").write_text(text)
    user = "user root;" if os.geteuid() == 0 else ""
    around = NGINX_AROUND.format(folder=place.folder, user=user)
    (place.folder / "nginx.conf").write_text(around)
    config = str(place.folder / "nginx.conf")
    return [found("nginx"), "-p", str(place.folder), "-c", config, "-e", "stderr"]


def caddy_command(place: Place, run_port: int) -> list[str]:
    """Write Caddy's config; return what starts it."""
    ports = f"http_port {place.plain_port}\n\thttps_port {place.tls_port}\n"
    text = _changed(
        "cluster/deploy/caddy/Caddyfile",
        {
            "{\n\tservers {": f"{{\n\tadmin off\n\tdefault_bind 127.0.0.1\n\t{ports}\tservers {{",
            "reverse_proxy 127.0.0.1:8000": f"reverse_proxy 127.0.0.1:{run_port}",
            "# tls /etc/caddy/fullchain.pem /etc/caddy/privkey.pem": (
                f"tls {place.certificate} {place.key}"
            ),
            PATH: place.prefix,
        },
    )
    (place.folder / "Caddyfile").write_text(text)
    config = str(place.folder / "Caddyfile")
    return [found("caddy"), "run", "--config", config, "--adapter", "caddyfile"]


COMMANDS: dict[str, Callable[[Place, int], list[str]]] = {
    "nginx": nginx_command,
    "caddy": caddy_command,
}


def found(name: str) -> str:
    """Return a proxy's path; skip the test where there is none, or fail where that is asked."""
    package = {"nginx": "nginx-light"}.get(name, name)
    missing = f"no {name} here; `apt-get install {package}` gives one"
    return needed(shutil.which(name, path=SEARCHED), "ANDON_REQUIRE_BROWSER", missing)


@asynccontextmanager
async def proxy(name: str, place: Place, run_port: int) -> AsyncIterator[None]:
    """Have nginx or Caddy stand before a run's port; end it afterwards."""
    command = COMMANDS[name](place, run_port)
    log = place.folder / "proxy.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "HOME": str(place.folder), "XDG_DATA_HOME": str(place.folder)},
        )
    try:
        async with asyncio.timeout(PATIENCE_S):
            # Caddy opens them one after the other, in any order.
            for port in (place.tls_port, place.plain_port):
                while not await _listens(port):
                    assert process.returncode is None, log.read_text()
        yield
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _listens(port: int) -> bool:
    await asyncio.sleep(0.02)
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def _changed(path: str, changes: dict[str, str]) -> str:
    """Return a shipped config with changes, each of which must find its place there."""
    text = (ROOT / path).read_text()
    for old, new in changes.items():
        assert old in text, f"{path} has no {old!r}"
        text = text.replace(old, new)
    return text
