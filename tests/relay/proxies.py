"""nginx and Caddy with the recipes of docs/relay.md, changed in ports and certificates only."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

ROOT = Path(__file__).parents[2]
FETCHED = ROOT / ".cache" / "proxies"
"""Where `tools/fetch_proxies.sh` puts them."""
NAME = "talk.example"
VERSION = {"nginx": "-v", "caddy": "version"}
START_SECONDS = 20
NGINX = """
daemon off;
user root;
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ }}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
{recipe}
}}
"""
CADDY = """
{{
  admin off
  https_port {port}
  local_certs
  skip_install_trust
  auto_https disable_redirects
  storage file_system {folder}
}}
{recipe}
"""


class Proxy(Struct, frozen=True):
    """A proxy that runs: its port on 127.0.0.1, and what its callers trust."""

    port: int
    trust: ssl.SSLContext


def program(name: str) -> str:
    """The path of nginx or Caddy. Skips the test where it is missing, or lacks a library where it was only unpacked."""
    places = (FETCHED / "usr" / "sbin", FETCHED / "usr" / "bin", "/usr/sbin", os.environ.get("PATH", ""))
    found = shutil.which(name, path=os.pathsep.join(map(str, places)))
    if found is None or subprocess.run([found, VERSION[name]], capture_output=True, check=False).returncode:
        pytest.skip(f"{name} is not installed: sh tools/fetch_proxies.sh")
    return found


def recipe(language: str, relays: list[int]) -> str:
    """What docs/relay.md tells to write, with the ports of these relays."""
    text = (ROOT / "docs" / "relay.md").read_text()
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found
    written = found[1]
    for documented, port in zip(("127.0.0.1:8081", "127.0.0.1:8082"), relays, strict=True):
        assert documented in written
        written = written.replace(documented, f"127.0.0.1:{port}")
    return written


@contextlib.asynccontextmanager
async def nginx(folder: Path, relays: list[int]) -> AsyncIterator[Proxy]:
    """nginx in front of relays on these ports."""
    command, port = program("nginx"), _free_port()
    certificate, key = _certificate(folder)
    written = recipe("nginx", relays)
    assert "listen 443 ssl;" in written
    written = written.replace("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;")
    written = re.sub(r"ssl_certificate \S+;", f"ssl_certificate {certificate};", written)
    written = re.sub(r"ssl_certificate_key \S+;", f"ssl_certificate_key {key};", written)
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, recipe=written))
    arguments = [command, "-p", str(folder), "-c", str(config), "-e", str(folder / "nginx.log")]
    async with _running(arguments, folder, port, lambda: ssl.create_default_context(cafile=certificate)) as proxy:
        yield proxy


@contextlib.asynccontextmanager
async def caddy(folder: Path, relays: list[int]) -> AsyncIterator[Proxy]:
    """Caddy in front of relays on these ports; it makes its certificate itself."""
    command, port = program("caddy"), _free_port()
    config = folder / "Caddyfile"
    config.write_text(CADDY.format(folder=folder, port=port, recipe=recipe("caddy", relays)))
    root = folder / "pki" / "authorities" / "local" / "root.crt"
    arguments = [command, "run", "--adapter", "caddyfile", "--config", str(config)]
    async with _running(arguments, folder, port, lambda: ssl.create_default_context(cafile=root)) as proxy:
        yield proxy


@contextlib.asynccontextmanager
async def _running(
    arguments: list[str], folder: Path, port: int, trust: Callable[[], ssl.SSLContext]
) -> AsyncIterator[Proxy]:
    log = folder / "proxy.log"
    env = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with log.open("wb") as told:
        process = await asyncio.create_subprocess_exec(*arguments, stdout=told, stderr=subprocess.STDOUT, env=env)
    try:
        async with asyncio.timeout(START_SECONDS):
            while (trusted := await _answers(port, trust)) is None:
                assert process.returncode is None, log.read_text()
                await asyncio.sleep(0.05)
        yield Proxy(port, trusted)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _answers(port: int, trust: Callable[[], ssl.SSLContext]) -> ssl.SSLContext | None:
    try:
        trusted = trust()
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusted, server_hostname=NAME)
    except OSError:  # what `ssl` raises is one too
        return None
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return trusted


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for the recipes' name that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    certificate, private = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return certificate, private
