"""Engines by kind and name, imported when they are asked for."""

from __future__ import annotations

import importlib
import inspect
from typing import Any, Literal

from duologue.errors import ConfigError

Kind = Literal["vad", "stt", "llm", "tts", "eot", "noise"]

ENGINES: dict[Kind, dict[str, str]] = {
    "vad": {
        "silero": "duologue.engines.silero:SileroVad",
        "energy": "duologue.engines.energy:EnergyVad",
    },
    "stt": {
        "pocketsphinx": "duologue.engines.pocketsphinx:PocketsphinxStt",
        "openai": "duologue.engines.openai_stt:HttpStt",
    },
    "llm": {
        "scripted": "duologue.engines.scripted:ScriptedLlm",
        "openai": "duologue.engines.openai_chat:ChatLlm",
    },
    "tts": {
        "espeak": "duologue.engines.espeak:EspeakTts",
        "openai": "duologue.engines.openai_tts:HttpTts",
    },
    "eot": {
        "rules": "duologue.engines.end_of_turn:RuleEndOfTurn",
    },
    "noise": {
        "webrtc": "duologue.engines.webrtc_noise:WebrtcNoiseReducer",
    },
}
"""For each kind the known names and where their factory is; the first name is the default."""


def create(kind: Kind, name: str | None = None, **options: Any) -> Any:
    """A new engine of `kind`: by a known `name`, by `package.module:factory`, or the default for None.

    `options` go to the factory. Raises ConfigError for an unknown name, a module or factory that does not exist, or
    options that the factory does not take.
    """
    known = ENGINES[kind]
    name = name or next(iter(known))
    where = known.get(name, name)
    module_name, colon, factory_name = where.partition(":")
    if not colon:
        raise ConfigError(f"unknown {kind} engine {name!r}: use one of {', '.join(known)}, or package.module:factory")
    try:
        factory = getattr(importlib.import_module(module_name), factory_name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{kind} engine {name!r} cannot be loaded: {error}") from error
    try:
        inspect.signature(factory).bind(**options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{kind} engine {name!r} does not take these options: {error}") from error
    return factory(**options)
