"""A page whose program is Python: Duologue in Pyodide, talking to a Realtime server by WebRTC and by WebSocket.

    python tools/install_peers.py          # once: Pyodide and the core's wheels for it
    duologue serve &
    python examples/pyodide/serve.py       # then open the address that it prints

The page gets an ephemeral key from here, never a lasting one (`OPENAI_API_KEY`, for a server that wants it).
"""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import sys
import urllib.error
import urllib.request
import zipfile
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import duologue

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".json": "application/json",
    ".py": "text/x-python; charset=utf-8",
}


def core() -> bytes:
    """The package as it is installed here, as a zip."""
    package, out = Path(duologue.__file__).parent, io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((*package.rglob("*.py"), *package.glob("dialogue/*.toml"))):
            if "node_modules" not in file.parts:
                archive.write(file, file.relative_to(package.parent))
    return out.getvalue()


def ephemeral_key(api: str) -> str:
    """A key for one visitor, from the Realtime server."""
    wish = json.dumps({"session": {"type": "realtime", "model": "gpt-realtime"}}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', '')}"}
    with urllib.request.urlopen(urllib.request.Request(f"{api}/client_secrets", wish, headers), timeout=20) as reply:
        return str(json.load(reply)["value"])


class Page(BaseHTTPRequestHandler):
    """The page's files; `/session` tells where to connect, and with which key."""

    def __init__(self, *call: object, api: str, pyodide: Path, wheels: Path, **options: object) -> None:
        self.api, self.pyodide, self.wheels = api, pyodide, wheels
        super().__init__(*call, **options)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        folder, _, name = self.path.partition("?")[0].strip("/").rpartition("/")
        try:
            if (folder, name) == ("", "session"):
                self.answer(json.dumps({"url": self.api, "key": ephemeral_key(self.api)}).encode(), ".json")
            elif (folder, name) == ("", "wheels"):
                names = ["core.zip", *sorted(wheel.name for wheel in self.wheels.glob("*.whl"))]
                self.answer(json.dumps(names).encode(), ".json")
            elif (folder, name) == ("wheels", "core.zip"):
                self.answer(core(), ".zip")
            else:
                place = {"": HERE, "pyodide": self.pyodide, "wheels": self.wheels}[folder]
                path = place / (name or "index.html")
                self.answer(path.read_bytes(), path.suffix)
        except (KeyError, OSError) as problem:
            self.send_error(502 if isinstance(problem, urllib.error.URLError) else 404)

    def answer(self, body: bytes, suffix: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", TYPES.get(suffix, "application/octet-stream"))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="serve a page that runs Duologue in the browser")
    parser.add_argument("--port", type=int, default=8088)
    parser.add_argument("--api", default="http://127.0.0.1:8000/v1/realtime", help="the Realtime server")
    parser.add_argument("--pyodide", type=Path, default=ROOT / "tests/compat/node/node_modules/pyodide")
    parser.add_argument("--wheels", type=Path, default=ROOT / ".cache/pyodide")
    given = parser.parse_args()
    if not (given.pyodide / "pyodide.mjs").exists() or not given.wheels.exists():
        sys.exit("Pyodide is not here yet: run python tools/install_peers.py once")
    handler = partial(Page, api=given.api, pyodide=given.pyodide, wheels=given.wheels)
    server = ThreadingHTTPServer(("127.0.0.1", given.port), handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    print(f"pyodide example: open http://127.0.0.1:{server.server_port}/", flush=True)
    with suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()
