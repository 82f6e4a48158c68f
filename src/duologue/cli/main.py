"""`duologue COMMAND`: dispatches to one module a command, each imported only when it is asked for."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from duologue import __version__
from duologue.errors import DuologueError

COMMANDS = {
    "console": "the console in the browser: talk, see every event, hear every item again (the default)",
    "serve": "a Realtime server on this machine: no key, no network, no download",
    "talk": "a conversation in this terminal: microphone and loudspeaker, files, or the keyboard",
    "relay": "lets users talk to a Realtime API without giving them the key, the prompt or the budget",
    "doctor": "what this machine lacks for talking, one line a gap with its remedy",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code (0 fine, 1 failed, 2 wrong call)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help", "--version")):
        arguments.insert(0, "console")
    parser = argparse.ArgumentParser(prog="duologue", description="Realtime voice, on both ends of the wire.")
    parser.add_argument("--version", action="version", version=f"duologue {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    wanted = arguments[0]
    try:
        for name, summary in COMMANDS.items():
            command = commands.add_parser(name, help=summary, description=summary)
            if name == wanted:
                module = import_module(f"duologue.cli.{name}")
                module.add_arguments(command)
                command.set_defaults(run=module.run)
        options = parser.parse_args(arguments)
        code: int = options.run(options)
        return code
    except ImportError as error:
        if (error.name or "").startswith("duologue"):
            raise
        extra = wanted if wanted in ("console", "relay") else "server"
        print(f"duologue: {error.name} is not installed. Run: pip install 'duologue[{extra}]'", file=sys.stderr)
        return 2
    except DuologueError as error:
        print(f"duologue: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
