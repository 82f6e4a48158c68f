"""From the first sound of an interruption to silence in the listener's ear, for each way a voice can travel."""

from __future__ import annotations

import subprocess
import sys

import msgspec

from bench.host import Cores, Host, cores, serving
from bench.tables import Sheet, spread
from bench.talkover import WINDOW_S, TalkPlan, TalkResult, Way

SECONDS = 25
CALLERS = 3
WAYS: dict[Way, str] = {
    "websocket": "WebSocket, loudspeaker at the client",
    "webrtc": "WebRTC call",
    "phone": "telephone, Twilio's framing",
}


def run(sheet: Sheet, *, quick: bool) -> None:
    """Three callers for each way, one way after the other. Linux only."""
    where = cores()
    if where is None:
        sheet.say("This part needs Linux: binding to a core.")
        return
    rows: list[list[object]] = []
    missed = 0
    with serving(where) as host:
        for way, name in WAYS.items():
            result = _talk(host, where, way, 1 if quick else CALLERS, 6 if quick else SECONDS)
            known, *_ = spread(result.known_ms)
            rows.append([name, len(result.silence_ms), known, *spread(result.silence_ms)])
            missed += result.missed
    header = ["from the first sound of an interruption, ms", "times", "known p50", "silence p50", "p95", "p99"]
    sheet.table(header, rows)
    sheet.say(f"Answers that were still heard {WINDOW_S:g} s after it: {missed}.")


def _talk(host: Host, where: Cores, way: Way, callers: int, seconds: float) -> TalkResult:
    plan = TalkPlan(url=host.url, core=where.callers, way=way, callers=callers, seconds=seconds)
    done = subprocess.run(
        [sys.executable, "-m", "bench.talkover"],
        input=msgspec.json.encode(plan) + b"\n",
        stdout=subprocess.PIPE,
        timeout=seconds + 60,
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=TalkResult)
