"""How a command of the page is refused."""

from __future__ import annotations


class Refused(Exception):
    """A command that cannot be carried out now: `cause` in plain words and the next `step`."""

    def __init__(self, code: str, cause: str, step: str) -> None:
        super().__init__(code, cause, step)
        self.code = code
        self.cause = cause
        self.step = step
