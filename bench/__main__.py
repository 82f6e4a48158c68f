"""`make bench` runs every part; `make bench ARGS=client` (library, server, memory, …) one of them."""

from __future__ import annotations

import argparse
import datetime
import os
import platform

from bench import agents, client, interruptions, library, memory, page, relay, server, silence, turns, webrtc
from bench.tables import DOC, Sheet

PARTS = {
    "agents": agents.run,
    "client": client.run,
    "library": library.run,
    "server": server.run,
    "memory": memory.run,
    "interruptions": interruptions.run,
    "page": page.run,
    "relay": relay.run,
    "silence": silence.run,
    "turns": turns.run,
    "webrtc": webrtc.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("part", nargs="*", help=f"what to measure: {', '.join(PARTS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: does it run at all?")
    parser.add_argument("--write", action="store_true", help=f"put the figures into docs/{DOC.name}")
    options = parser.parse_args()
    if strangers := set(options.part) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(strangers))}")
    for name in options.part or PARTS:
        print(f"\n== {name}")
        sheet = Sheet(name)
        PARTS[name](sheet, quick=options.quick)
        sheet.say(f"<sub>{_here()}</sub>")
        if options.write:
            sheet.write()


def _here() -> str:
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{datetime.date.today().isoformat()}, {python}, {os.cpu_count()} cores{load} at the end"


if __name__ == "__main__":
    main()
