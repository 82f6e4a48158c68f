"""The core inside workerd, the runtime of Cloudflare's Workers, talks to real servers through `fetch` and its upgrade.

Cloudflare's own bundle of Pyodide comes from an address of theirs when workerd starts; so that nothing but npm is needed,
the same version of Pyodide from npm is started as a module of the Worker. See docs/decisions/0021.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from kit import core, pyodide_files
from peers import node_modules
from realserver import duologue_serve
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from duologue.testing import conformance

HERE = Path(__file__).parent
KINDS = {".js": "esModule", ".mjs": "esModule", ".wasm": "wasm", ".py": "data", ".zip": "data", ".whl": "data"}
CONFIG = """using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .python),
    (name = "internet", network = (allow = ["private", "public"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:PORT", http = (), service = "main")],
);
const python :Workerd.Worker = (
  modules = [MODULES],
  compatibilityDate = "2026-10-01",
  bindings = [(name = "UNSAFE", unsafeEval = void)],
);
"""


class Edge:
    """A Worker, asked for one story at a time."""

    def __init__(self, url: str) -> None:
        self.url = url

    def tell(self, story: str, **parameters: str) -> Any:
        try:
            with urllib.request.urlopen(f"{self.url}/{story}?{urlencode(parameters)}", timeout=90) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as problem:
            raise AssertionError(problem.read().decode()) from None


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    folder = tmp_path_factory.mktemp("workerd")
    files = {name: path for name, path in pyodide_files().items() if not name.endswith(".json")}
    files |= {path.name: path for path in HERE.glob("*.js")} | {"edge_stories.py": HERE / "edge_stories.py"}
    files["duologue.zip"] = core(folder / "core.zip")
    modules = []
    for name in ["worker.js", *(name for name in files if name != "worker.js")]:
        shutil.copyfile(files[name], folder / name)
        modules.append(f'(name = "{name}", {KINDS[Path(name).suffix]} = embed "{name}")')
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = folder / "config.capnp"
    config.write_text(CONFIG.replace("PORT", str(port)).replace("MODULES", ",\n    ".join(modules)))
    [binary] = node_modules().parent.glob("@cloudflare/workerd-*/bin/workerd")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([binary, "serve", config, "--experimental"], stdout=log, stderr=log)
    try:
        for _ in range(100):
            with socket.socket() as door:
                door.settimeout(0.1)
                if door.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, (folder / "log").read_text()
            threading.Event().wait(0.1)
        yield Edge(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with duologue_serve("--tokens-per-second", "30") as address:
        yield address


@contextmanager
def sockets(heads: list[Request]) -> Iterator[str]:
    """A server that echoes, closes when told to, and refuses at `/no`; it runs in a thread of its own."""
    started = threading.Event()
    loop = asyncio.new_event_loop()
    place: list[Any] = []

    async def peer(connection: ServerConnection) -> None:
        assert connection.request is not None
        heads.append(connection.request)
        async for message in connection:
            if message == '{"bye":4000}':
                await connection.send('{"last":"words"}')
                await connection.close(4000, "session over")
            else:
                await connection.send(message)

    def refuse(connection: ServerConnection, request: Request) -> Response | None:
        return connection.respond(401, "no such key") if request.path == "/no" else None

    async def run() -> None:
        over = asyncio.Event()
        options: dict[str, Any] = {"max_size": None, "process_request": refuse, "subprotocols": ["realtime"]}
        async with serve(peer, "127.0.0.1", 0, **options) as server:
            place.extend([server.sockets[0].getsockname()[1], over])
            started.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    started.wait(10)
    try:
        yield f"ws://127.0.0.1:{place[0]}"
    finally:
        loop.call_soon_threadsafe(place[1].set)
        thread.join()
        loop.close()


def test_the_core_knows_where_it_is(edge: Edge) -> None:
    place = edge.tell("where")
    assert place == {
        "platform": "emscripten",
        "runtime": "workers",
        "transport": "websocket",
        "agent": "Cloudflare-Workers",
        "sockets_library": False,
    }


def test_a_whole_conversation_with_a_tool(edge: Edge, host: str) -> None:
    told = edge.tell("conversation", url=f"ws://{host}/v1/realtime?model=gpt-realtime", key="sk-any")
    assert told["tool"] == ["Paris"]
    assert "21" in told["said"]
    assert told["sound_bytes"] > 48_000


def test_the_thin_client_is_interrupted(edge: Edge, host: str) -> None:
    told = edge.tell("thin", url=f"http://{host}/v1/realtime?model=gpt-realtime")
    assert told["rate_hz"] == 8000
    assert told["first_bytes"] > 0
    assert told["status"] == "cancelled"
    assert told["states"] == ["connecting", "connected", "disconnected"]
    assert "error" not in told["kinds"]


def test_frames_headers_and_the_peers_close(edge: Edge) -> None:
    heads: list[Request] = []
    with sockets(heads) as url:
        told = edge.tell("echo", url=url, key="sk-secret")
        assert told == {"same": True, "rest": 1, "closed": [4000, "session over", "peer"]}
        [head] = heads
        assert head.headers["Authorization"] == "Bearer sk-secret"
        assert head.headers["X-Trace"] == "1"
        assert head.headers["Sec-WebSocket-Protocol"] == "realtime"


def test_a_refusal_tells_status_and_body(edge: Edge) -> None:
    with sockets([]) as url:
        told = edge.tell("refused", url=f"{url}/no")
    assert (told["status"], told["retryable"]) == (401, False)
    assert "no such key" in told["body"]


def test_nobody_there_and_no_address_at_all(edge: Edge) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    [nobody, nonsense] = edge.tell("unreachable", url=f"ws://127.0.0.1:{port}/")["told"]
    assert nobody[0] == nonsense[0] == "ConnectFailed"


@pytest.mark.parametrize("check", conformance.CHECKS, ids=conformance.name_of)
def test_the_runtimes_own_sockets_keep_the_rules(edge: Edge, check: conformance.Check) -> None:
    """`duologue.transports.js_socket` over both ends of a WebSocketPair."""
    name = conformance.name_of(check)
    assert edge.tell("conforms", name=name) == {"kept": name}
