"""A worker that misbehaves on demand: `sulk` never gets ready, `die` ends with words, `echo` answers what it gets."""

from __future__ import annotations

import os
import sys
import time

from duologue.engines.framing import DATA, END, OPEN, READY, Inbox


def main() -> None:
    inbox = Inbox()
    if sys.argv[1] == "die":
        sys.exit("no model here")
    inbox.send(0, READY)
    while frame := inbox.next():
        call = frame.call

        def work(body: bytes = frame.body, call: int = call) -> None:
            if body == b"raise":
                raise ValueError("not like this")
            if body == b"hang":
                while not inbox.aborted(call):
                    time.sleep(0.01)
            if body == b"print":
                print("noise on the pipe")
            if body == b"shout":
                print("x" * 300_000, file=sys.stderr)
                print("last words", file=sys.stderr)
            if body == b"exit":
                sys.stderr.flush()
                os._exit(3)
            inbox.send(call, DATA, body)
            inbox.send(call, END)

        if frame.kind == OPEN:
            inbox.guard(call, work)


if __name__ == "__main__":
    main()
