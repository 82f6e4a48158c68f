"""`make bench` runs every part; `make bench ARGS=client` (server, page, turns) one of them."""

from __future__ import annotations

import argparse
import os
import platform

from bench import client, page, server, turns

PARTS = {"client": client.run, "server": server.run, "page": page.run, "turns": turns.run}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("part", nargs="*", help=f"what to measure: {', '.join(PARTS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: does it run at all?")
    options = parser.parse_args()
    if strangers := set(options.part) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(strangers))}")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(
        f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores, load {load:.1f} before"
    )
    for name in options.part or PARTS:
        print(f"\n== {name}")
        PARTS[name](quick=options.quick)


if __name__ == "__main__":
    main()
