"""What a conversation looks like in a terminal: its lines, and below them one that lives. Plain lines where it is none."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from duologue.cli.transcript import Line, Transcript

_COLOURS = {"you": "cyan", "it": "green", "tool": "magenta", "note": "yellow", "error": "bold red"}
_BARS = " ▁▂▃▄▅▆▇█"
_LOUD = 0.25
"""The level of a raised voice fills the meter."""
_NAME_WIDTH = 6


class Screen:
    """Writes to `stream`; with `rich` and a terminal in colour, with a line of levels and words at the bottom."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._live: Any = None
        if self._terminal:
            self._live = _live(stream)

    def __enter__(self) -> Screen:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def line(self, line: Line, *, typed: bool = False) -> None:
        """One more line of the conversation. What was `typed` in a terminal stands there already."""
        if typed and self._terminal:
            return
        if self._live is None:
            print(plain(line), file=self._stream, flush=True)
            return
        from rich.text import Text

        text = Text(f"{line.who:<{_NAME_WIDTH}} ", style=_COLOURS[line.who])
        text.append(line.text, style="" if line.who in ("you", "it") else "dim")
        if line.aside:
            text.append(f"  {line.aside}", style="dim")
        self._live.console.print(text, highlight=False)

    def status(self, talk: Transcript, microphone: float, loudspeaker: float, *, muted: bool) -> None:
        """The line that lives: nothing where there is no terminal."""
        if self._live is None:
            return
        from rich.text import Text

        room = max(10, self._live.console.width - 34)
        words = talk.words[-room:]
        level = "muted " if muted else f"mic {bar(microphone)} "
        text = Text(f"{level}out {bar(loudspeaker)}  {talk.state:<9}", style="dim", no_wrap=True, overflow="crop")
        if talk.usd:
            text.append(f"${talk.usd:.4f}  ")
        text.append(words, style="italic")
        self._live.update(text, refresh=True)


def plain(line: Line) -> str:
    """A line without a terminal."""
    text = f"{line.who:<{_NAME_WIDTH}} {line.text}"
    return f"{text}  ({line.aside})" if line.aside else text


def bar(level: float) -> str:
    """A level of 0.0 to 1.0 as one character; speech of usual loudness is in the middle."""
    return _BARS[min(len(_BARS) - 1, round((level / _LOUD) ** 0.5 * (len(_BARS) - 1)))]


def _live(stream: TextIO) -> Any:
    """Colour and a living line are a comfort: without `rich` there are plain lines."""
    try:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text
    except ImportError:
        return None
    return Live(Text(""), console=Console(file=stream), auto_refresh=False, transient=True)
