"""Lines in a terminal and without one."""

from __future__ import annotations

import io
import re

import pytest

from duologue.cli.screen import Screen, bar, plain
from duologue.cli.transcript import Line, Transcript


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_there_are_plain_lines_only() -> None:
    stream = io.StringIO()
    with Screen(stream) as screen:
        screen.line(Line(who="you", text="안녕하세요"), typed=True)
        screen.status(Transcript(), 0.1, 0.1, muted=False)
        screen.line(Line(who="it", text="Hello.", aside="0.31 s"))
    assert stream.getvalue() == "you    안녕하세요\nit     Hello.  (0.31 s)\n"


def test_a_terminal_has_a_line_that_lives_below_the_others() -> None:
    pytest.importorskip("rich")
    stream = Terminal()
    talk = Transcript()
    talk.words, talk.usd = "Good morning", 0.25
    with Screen(stream) as screen:
        screen.line(Line(who="you", text="typed"), typed=True)
        screen.line(Line(who="it", text="Hello [bold]."))
        screen.status(talk, 0.25, 0.0, muted=True)
        screen.status(talk, 0.25, 0.0, muted=False)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "typed" not in shown
    assert "Hello [bold]." in shown, "words are words, not markup"
    assert "muted" in shown
    assert "mic █ out    ready    $0.2500  Good morning" in shown


def test_levels_are_seen_at_the_loudness_of_speech() -> None:
    assert [bar(level) for level in (0.0, 0.06, 0.25, 1.0)] == [" ", "▄", "█", "█"]
    assert plain(Line(who="tool", text="→ 1")) == "tool   → 1"
