"""`duologue talk`: a conversation in the terminal, through microphone and loudspeaker, files, or the keyboard alone."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from duologue.audio.line import DeviceEvent
from duologue.audio.open import open_port
from duologue.audio.port import MediaPort
from duologue.audio.wav import parse_wav
from duologue.audio.wav_port import WavPort
from duologue.cli.engines import add_engine_arguments, make_engines
from duologue.cli.quiet import quiet_libraries
from duologue.cli.screen import Screen
from duologue.cli.talking import Plan, Talk
from duologue.cli.transcript import Line
from duologue.client.client import RealtimeClient
from duologue.console.embedded import Embedded
from duologue.console.tools import GET_WEATHER, SET_MEMORY, WEATHER_URL, ConsoleTools
from duologue.console.upstream import Upstream, environment, parse_upstream, with_model
from duologue.errors import ConfigError, MissingExtra

KEY_NAME = "OPENAI_API_KEY"
_TAIL_MS = 1_500
"""After a file: the silence in which the end of its last sentence is heard."""
_TRANSCRIBER = "gpt-4o-mini-transcribe"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "--upstream", metavar="WHO", default="local", help="who answers: local (the default), openai, or an address"
    )
    parser.add_argument("--model", default="", help="the model to ask for")
    parser.add_argument("--voice", metavar="NAME", help="the voice that answers")
    parser.add_argument("--instructions", metavar="TEXT", help="who the model is to be")
    parser.add_argument(
        "--budget", metavar="USD", type=float, help="end the conversation politely once it has cost so much"
    )
    parser.add_argument("--say", metavar="TEXT", action="append", default=[], help="say this first; repeatable")
    sound = parser.add_argument_group(
        "sound", "the default microphone and loudspeaker; files in their place where wanted"
    )
    sound.add_argument("--input", metavar="WAV", type=Path, help="a file that speaks in the place of the microphone")
    sound.add_argument("--output", metavar="WAV", type=Path, help="a file that takes the answers")
    sound.add_argument("--record", metavar="WAV", type=Path, help="both sides in stereo: you left, the answers right")
    sound.add_argument("--microphone", metavar="NAME", help="a microphone by its name")
    sound.add_argument("--loudspeaker", metavar="NAME", help="a loudspeaker by its name")
    sound.add_argument("--push-to-talk", action="store_true", help="Enter begins and ends what you say")
    add_engine_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Talk until Ctrl-C, the end of the file, or the end of the connection."""
    settings = environment(Path.cwd())
    upstream = parse_upstream("" if options.upstream == "local" else options.upstream, model=options.model)
    key = settings.get(KEY_NAME, "")
    if upstream.kind == "openai" and not key:
        raise ConfigError(f"{KEY_NAME} is not set: put it into .env, or leave --upstream away to talk to this machine")
    # The detector and the voice are not to be had without: said before anything starts, in one line.
    part = "numpy" if options.tts_url else "espeakng_loader"
    if upstream.kind == "embedded" and importlib.util.find_spec(part) is None:
        raise MissingExtra(part.replace("_", "-"), "server")
    if options.input is not None:
        _check(options.input)
    return asyncio.run(_talk(options, upstream, key))


async def _talk(options: argparse.Namespace, upstream: Upstream, key: str) -> int:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        except NotImplementedError:  # Windows: Ctrl-C raises KeyboardInterrupt
            break
    try:
        with quiet_libraries(), Screen() as screen:
            await _conversation(options, upstream, key, screen)
    except asyncio.CancelledError:
        task.uncancel()
    return 0


async def _conversation(options: argparse.Namespace, upstream: Upstream, key: str, screen: Screen) -> None:
    port, note = await _port(options, screen)
    try:
        _print(screen, _who(upstream))
        _print(screen, note)
        async with _client(options, upstream, key) as client:
            plan = Plan(
                push_to_talk=options.push_to_talk,
                first=tuple(options.say),
                typing=options.input is None,
                ends=options.input is not None,
                listening=not isinstance(port, WavPort),
            )
            _print(screen, _how(plan))
            talk = Talk(client, port, screen, plan)
            try:
                await talk.run()
            finally:
                _print(screen, _sum(talk, client))
    finally:
        await port.close()


async def _port(options: argparse.Namespace, screen: Screen) -> tuple[MediaPort, str]:
    def device(event: DeviceEvent) -> None:
        happened = "is gone" if event.event == "lost" else "is used now"
        _print(screen, f"the {'microphone' if event.kind == 'input' else 'loudspeaker'} {event.device} {happened}")

    try:
        return await open_port(
            wav_in=options.input,
            wav_out=options.output,
            tail_ms=_TAIL_MS if options.input is not None else None,
            microphone=options.microphone,
            loudspeaker=options.loudspeaker,
            record_to=options.record,
            on_event=device,
        )
    except OSError as problem:
        raise ConfigError(f"{problem.filename} cannot be written: {problem.strerror}") from None


@asynccontextmanager
async def _client(options: argparse.Namespace, upstream: Upstream, key: str) -> AsyncIterator[RealtimeClient]:
    """Connected, with the session's settings in force; an embedded server runs as long as it does."""
    if upstream.kind == "embedded":
        from duologue.server.runner import RealtimeServer

        embedded = Embedded(RealtimeServer(make_engines(options)))
        async with embedded.running():
            transport = await embedded.open(upstream.effective_model)
            async with await _ready(RealtimeClient(transport=transport), options, upstream) as client:
                yield client
        return
    url = with_model(upstream.address, upstream.effective_model)
    client = RealtimeClient(url, api_key=key, budget_usd=options.budget)
    async with await _ready(client, options, upstream):
        yield client


async def _ready(client: RealtimeClient, options: argparse.Namespace, upstream: Upstream) -> RealtimeClient:
    fields: dict[str, Any] = {
        "turn_detection": None if options.push_to_talk else {"type": "server_vad", "silence_duration_ms": 500},
        "input_audio_transcription": {"model": "embedded" if upstream.local else _TRANSCRIBER},
    }
    for name in ("voice", "instructions"):
        if getattr(options, name):
            fields[name] = getattr(options, name)
    await client.update_session(**fields)
    tools = ConsoleTools(lambda: None, weather_url=WEATHER_URL)
    client.add_tool(GET_WEATHER, tools.get_weather)
    client.add_tool(SET_MEMORY, tools.set_memory)
    return client


def _check(path: Path) -> None:
    """A file that cannot be read is told before anything starts. Raises ConfigError."""
    try:
        parse_wav(path.read_bytes())
    except (OSError, ValueError) as problem:
        raise ConfigError(f"--input {path} cannot be used: {problem}") from None


def _who(upstream: Upstream) -> str:
    if upstream.kind == "embedded":
        return "the embedded server answers: no key, no bill; `--upstream openai` for a language model"
    return f"{upstream.view(has_key=True).label} answers"


def _how(plan: Plan) -> str:
    if plan.push_to_talk:
        return "Enter begins and ends what you say · or type it · Ctrl-C ends"
    return "speak or type · Enter interrupts · Ctrl-C ends" if plan.typing else "Ctrl-C ends"


def _sum(talk: Talk, client: RealtimeClient) -> str:
    totals = client.usage
    tokens = totals.input_tokens + totals.output_tokens
    answers = f"{talk.transcript.answers} answer{'' if talk.transcript.answers == 1 else 's'}"
    return f"{answers} · {tokens} tokens · ${totals.usd:.4f}"


def _print(screen: Screen, text: str) -> None:
    screen.line(Line(who="note", text=text))
