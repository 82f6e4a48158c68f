"""The client as a library, next to the `openai` package and to the 2024 reference client's port for Node, in one run:
from the socket to samples, import, size on disk, an hour of talk."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from multiprocessing import Process, Queue
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from bench.client import AUDIO, WHERE, appending
from bench.tables import Sheet
from duologue.protocol.codec import encode
from duologue.protocol.server_events import ResponseOutputAudioDelta

ROOT = Path(__file__).parents[1]
HOUR = 36_000
ITEM_EVENTS = 200
"""20 s of speech an answer."""
CORE = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
LIBRARIES = {
    "duologue": [re.split("[^a-z0-9-]", need)[0] for need in CORE],
    "openai[realtime]": ["openai", "websockets"],
}


def run(sheet: Sheet, *, quick: bool) -> None:
    """Print the tables. Memory and the two cores need Linux."""
    rounds, events = (2, 2_000) if quick else (7, 20_000)
    _sockets(sheet, rounds, events)
    _reference(sheet, quick=quick)
    _installed(sheet, rounds)
    _hour(sheet, HOUR // 10 if quick else HOUR)


def _sockets(sheet: Sheet, rounds: int, events: int) -> None:
    """Each in a process of its own that reads from a server that never lets it wait."""
    costs: dict[str, list[float]] = {"ours": [], "api": [], "theirs": []}
    with Stream(events) as url:
        for _ in range(rounds):
            for who, found in costs.items():
                found.append(_receive(who, url, events)[0])
    middle = {who: median(found) for who, found in costs.items()}
    rows: list[list[object]] = [
        ["`RealtimeClient`: events, conversation, ledger", middle["ours"], _ratio(middle, "ours")],
        ["`RealtimeAPI`: the events alone", middle["api"], _ratio(middle, "api")],
        ["`openai`: the events alone", middle["theirs"], "1.0"],
    ]
    sheet.table(["socket to samples, 100 ms of sound", "CPU µs", "openai / it"], rows)


def _ratio(costs: dict[str, float], who: str) -> str:
    return f"{costs['theirs'] / costs[who]:.1f}"


def _receive(who: str, url: str, events: int) -> list[float]:
    command = [sys.executable, "-m", "bench.receiver", who, url, str(events)]
    # The threads of numpy's BLAS wait in a loop, and would be counted.
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    out = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env, check=True).stdout
    return [float(word) for word in out.split()]


class Stream:
    """A server in a process of its own that sends so many events of sound to whoever connects."""

    def __init__(self, events: int) -> None:
        self._port: Queue[int] = Queue()
        self._process = Process(target=_serve, args=(self._port, events), daemon=True)

    def __enter__(self) -> str:
        self._process.start()
        return f"ws://127.0.0.1:{self._port.get()}/v1/realtime?model=m"

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()


def _serve(port: Queue[int], events: int) -> None:
    """Answers of 20 s, one after the other, each written at once: a client that is quicker than its server would be measured
    at waking up."""

    def answers() -> Iterator[bytes]:
        for number in range(0, events, ITEM_EVENTS):
            where = {**WHERE, "item_id": f"item_{number}"}
            event = encode(ResponseOutputAudioDelta(event_id="event_1", delta=AUDIO, **where))
            yield Frame(Opcode.TEXT, event).serialize(mask=False) * min(ITEM_EVENTS, events - number)

    async def caller(socket: ServerConnection) -> None:
        with suppress(ConnectionClosed):  # the bench has enough
            for answer in answers():
                if socket.state is not State.OPEN:
                    return
                socket.transport.write(answer)
                await socket.drain()
            await socket.wait_closed()

    async def main() -> None:
        async with serve(caller, "127.0.0.1", 0, compression=None) as server:
            port.put(server.sockets[0].getsockname()[1])
            await server.wait_closed()

    asyncio.run(main())


def _reference(sheet: Sheet, *, quick: bool) -> None:
    """Ours in the same state: a turn that has lasted for so many minutes."""
    sys.path.append(str(ROOT / "tools"))
    from install_peers import NODE, node_command

    if not (NODE / "node_modules" / "openai-realtime-api").exists():
        sheet.say("The reference client's port is not installed: `python tools/install_peers.py`.")
        return
    rounds, calls = ("2", "3") if quick else ("5", "20")
    command = [node_command(), str(ROOT / "bench" / "node" / "reference.mjs"), rounds, calls]
    theirs = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    rows: list[list[object]] = []
    for name in ("append", "delta"):
        for minute in (1, 30):
            mine = asyncio.run(appending(minute, name, calls=200 if quick else 5_000))
            other = theirs[f"{name} {minute}"]
            rows.append([f"{name} of 100 ms at minute {minute}", mine, other, f"{other / mine:.0f}"])
    sheet.table(["CPU µs", "duologue", "reference client's port", "ratio"], rows)


def _installed(sheet: Sheet, rounds: int) -> None:
    imports = {
        "duologue": "from duologue import RealtimeClient",
        "openai[realtime]": "from openai import AsyncOpenAI; AsyncOpenAI(api_key='x').realtime",
        "bare": "pass",
    }
    times: dict[str, list[float]] = {name: [] for name in imports}
    with TemporaryDirectory() as compiled:
        # As after an installation: from bytecode, which the first round writes.
        env = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        for number in range(rounds + 1):
            for name, code in imports.items():
                begin = time.monotonic()
                subprocess.run([sys.executable, "-c", code], check=True, env=env)
                if number:
                    times[name].append(1000 * (time.monotonic() - begin))
    bare = median(times["bare"])
    rows: list[list[object]] = [
        [name, f"{median(times[name]) - bare:.0f}", f"{_megabytes(name, packages):.1f}", len(_closure(packages))]
        for name, packages in LIBRARIES.items()
    ]
    sheet.table(["library", "import ms", "MB on disk", "packages"], rows)


def _closure(names: list[str]) -> set[str]:
    """The packages and all that they need here, without extras."""
    from packaging.requirements import Requirement

    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        found.add(name)
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            found.discard(name)
            continue
        for need in map(Requirement, needs):
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                waiting.append(need.name)
    return found


def _megabytes(library: str, needs: list[str]) -> float:
    """Files as they are installed, without bytecode; ours as the checkout has them."""
    paths = [Path(str(file.locate())) for name in _closure(needs) for file in metadata.files(name) or []]
    if library == "duologue":
        paths += [path for path in (ROOT / "src" / "duologue").rglob("*") if "node_modules" not in path.parts]
    return sum(path.stat().st_size for path in paths if path.is_file() and path.suffix != ".pyc") / 1e6


def _hour(sheet: Sheet, events: int) -> None:
    """An hour of answers into one client; its memory at the end next to that after a third of it."""
    third = events // 3
    with Stream(events) as url:
        early = _receive("ours", url, third)[1]
        late = _receive("ours", url, events)[1]
    rows: list[list[object]] = [
        [f"{third // 600} minutes", f"{early / 1024:.0f}"],
        [f"{events // 600} minutes", f"{late / 1024:.0f}"],
    ]
    sheet.table(["sound received by one client", "MiB"], rows)
