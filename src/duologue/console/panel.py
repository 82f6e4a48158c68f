"""The session as it is wanted, as it is in force, and what of it the server refused. Pure."""

from __future__ import annotations

from typing import Any

from duologue.console import settings
from duologue.console.feed import Feed
from duologue.console.views import Mode, SessionView, Settings


class Panel:
    """Every change shows in the feed at once. What is wanted outlives a call; what is in force does not."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self.wanted = settings.DEFAULTS
        self._effective: Settings | None = None
        self._refused: dict[str, str] = {}
        self._show()

    @property
    def mode(self) -> Mode:
        """Who decides that a turn is over."""
        return settings.mode_of(self.wanted)

    @property
    def transcribed(self) -> bool:
        """False once the server said that it writes down nothing of the user's speech."""
        return self._effective is None or self._effective.transcription_model is not None

    @property
    def interrupts(self) -> bool:
        """Whether speech stops what is being said."""
        return self._effective is None or self._effective.interrupt_response is not False

    @property
    def refused(self) -> bool:
        """True while something that was asked for is not in force because the server refused it."""
        return bool(self._refused)

    def change(self, changes: dict[str, Any]) -> frozenset[str]:
        """Want something else; returns the fields that differ now. Raises ValueError for settings that do not exist."""
        before, self.wanted = self.wanted, settings.change(self.wanted, changes)
        fields = settings.changed(before, self.wanted)
        self._refused = {field: why for field, why in self._refused.items() if field not in fields}
        self._show()
        return fields

    def take(self, effective: Settings) -> None:
        """The server has told what is in force."""
        self._effective = effective
        different = settings.changed(self.wanted, effective)
        self._refused = {field: why for field, why in self._refused.items() if field in different}
        self._show()

    def refuse(self, field: str, why: str) -> None:
        """The server does not take what is wanted."""
        self._refused = {**self._refused, field: why}
        self._show()

    def forget(self) -> None:
        """A new call begins."""
        self._effective, self._refused = None, {}
        self._show()

    def _show(self) -> None:
        view = SessionView(wanted=self.wanted, effective=self._effective, refused=self._refused)
        self._feed.show("session", view)
