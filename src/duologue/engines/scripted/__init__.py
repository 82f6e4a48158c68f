"""The scripted responder: the language model of an installation that has none. It says plainly what it is."""

from __future__ import annotations

from duologue.engines.scripted.engine import ScriptedLlm

__all__ = ["ScriptedLlm"]
