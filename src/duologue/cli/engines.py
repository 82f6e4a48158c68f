"""The engine options that `serve` and `console` share."""

from __future__ import annotations

import argparse
import os
from typing import Any

from duologue.engines import registry, webrtc_noise
from duologue.errors import ConfigError
from duologue.server.runner import Engines


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """`--llm-url` and its siblings: any OpenAI-compatible endpoint in the place of an embedded engine."""
    group = parser.add_argument_group("engines", "embedded by default; keys are read from the environment")
    for kind, path in (("llm", "chat/completions"), ("stt", "audio/transcriptions"), ("tts", "audio/speech")):
        name = kind.upper()
        group.add_argument(f"--{kind}-url", metavar="URL", help=f"OpenAI-compatible server for …/v1/{path}")
        group.add_argument(f"--{kind}-model", metavar="NAME", help=f"model to ask for (key: DUOLOGUE_{name}_KEY)")
    group.add_argument(
        "--tts-rate", metavar="HZ", type=int, default=24_000, help="rate of the pcm that --tts-url sends"
    )
    group.add_argument(
        "--end-of-turn",
        metavar="NAME",
        help="who judges for semantic_vad whether the user has finished: rules (the default), or package.module:factory",
    )
    group.add_argument("--tokens-per-second", metavar="N", type=float, help="pace of the scripted responder")


def make_engines(options: argparse.Namespace) -> Engines:
    """The engines that the options ask for, not yet started."""
    return Engines(
        vad=registry.create("vad", "silero"),
        stt=_http("stt", options.stt_url, options.stt_model) or registry.create("stt", "pocketsphinx"),
        llm=_http("llm", options.llm_url, options.llm_model) or _scripted(options.tokens_per_second),
        tts=_http("tts", options.tts_url, options.tts_model, sample_rate=options.tts_rate)
        or registry.create("tts", "espeak"),
        eot=registry.create("eot", options.end_of_turn),
        noise=registry.create("noise") if webrtc_noise.installed() else None,
    )


def _scripted(tokens_per_second: float | None) -> Any:
    pace = {} if tokens_per_second is None else {"tokens_per_second": tokens_per_second}
    return registry.create("llm", "scripted", **pace)


def _http(kind: registry.Kind, url: str | None, model: str | None, **options: Any) -> Any:
    if not url:
        return None
    if not model:
        raise ConfigError(f"--{kind}-url needs --{kind}-model: the name of the model to ask for there")
    key = os.environ.get(f"DUOLOGUE_{kind.upper()}_KEY")
    return registry.create(kind, "openai", url=url, model=model, key=key, **options)
