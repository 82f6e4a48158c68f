"""What this machine has for talking, part by part: each check tries the real thing and names the remedy for a gap."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from duologue.audio import devices
from duologue.engines import registry
from duologue.engines.base import SAMPLE_RATE_HZ, SpeechHints, SttSettings, Transcript, VoiceSettings
from duologue.errors import DuologueError, MissingExtra

_START_S = 30
_REACH_S = 3.0
_SENTENCE = "what time is it"
_ENDED_MS = 500
_EXTRAS = {
    "relay": ("picows", "jwt"),
    "webrtc": ("aiortc",),
    "mcp": ("mcp",),
    "noise": ("webrtc_noise_gain",),
}
_PORTS = {"console": 3000, "serve": 8000, "relay": 8081}


class Finding(Struct, frozen=True, kw_only=True):
    """One line of the report. A gap has a remedy; `needed` says whether the embedded conversation works without it."""

    part: str
    says: str
    remedy: str = ""
    needed: bool = False

    @property
    def gap(self) -> bool:
        return bool(self.remedy)


async def checkup(key: str, api_host: str) -> AsyncIterator[Finding]:
    """Every finding as soon as it is made. `key` is the OpenAI key that was found, `api_host` who would be called."""
    yield Finding(part="python", says=f"{sys.version.split()[0]} on {sys.platform}")
    for part, check in (("speech detector", _detector), ("responder", _responder), ("voice and ears", _voice_and_ears)):
        yield await _engine(part, check)
    yield page()
    for finding in sound():
        yield finding
    yield openai_key(key)
    yield await network(api_host)
    for name, packages in _EXTRAS.items():
        yield extra(name, packages)
    for command, port in _PORTS.items():
        yield port_of(command, port)


async def _engine(part: str, check: Callable[[], Awaitable[str]]) -> Finding:
    began = time.perf_counter()
    try:
        async with asyncio.timeout(_START_S):
            says = await check()
    except TimeoutError:
        return Finding(
            part=part, says=f"no answer within {_START_S} s", remedy="Try again on a calmer machine.", needed=True
        )
    except DuologueError as problem:
        return _missing(part, problem)
    return Finding(part=part, says=f"{says} ({1000 * (time.perf_counter() - began):.0f} ms)")


def _missing(part: str, problem: DuologueError) -> Finding:
    says, _, remedy = str(problem).partition(" Run: ")
    if isinstance(problem, MissingExtra):
        return Finding(part=part, says=says, remedy=f"Run: {remedy}", needed=True)
    reason, remedy = getattr(problem, "reason", str(problem)), getattr(problem, "remedy", "")
    return Finding(part=part, says=reason, remedy=remedy or "See the line above.", needed=True)


async def _detector() -> str:
    engine = registry.create("vad")
    await engine.start()
    try:
        engine.open().feed(bytes(2 * SAMPLE_RATE_HZ // 10))
    finally:
        await engine.close()
    return f"{engine.name} works"


async def _responder() -> str:
    engine = registry.create("llm")
    await engine.start()
    await engine.close()
    return f"{engine.name} works; connect a language model with --llm-url"


async def _voice_and_ears() -> str:
    """The embedded voice says a sentence, and the embedded recognizer has to understand it."""
    voice, ears = registry.create("tts"), registry.create("stt")
    try:
        await asyncio.gather(voice.start(), ears.start())
        hints = SpeechHints(phrases=(_SENTENCE, "how are you", "good morning"))
        utterance = ears.open(SttSettings(language="en", hints=hints))
        async for chunk in voice.speak(_SENTENCE, VoiceSettings()):
            utterance.feed(chunk)
        utterance.feed(bytes(SAMPLE_RATE_HZ * 2 * _ENDED_MS // 1000))
        utterance.finish()
        async for result in utterance.results():
            if isinstance(result, Transcript):
                return f"{voice.name} spoke, {ears.name} heard “{result.text}”"
    finally:
        await asyncio.gather(voice.close(), ears.close())
    raise AssertionError("a recognizer ends with a transcript")


def page() -> Finding:
    """The console's page is built when a wheel is made, or by `make console`."""
    import duologue

    if (Path(duologue.__file__).parent / "console" / "static" / "index.html").exists():
        return Finding(part="console page", says="built")
    return Finding(part="console page", says="not built yet", remedy="Run: make console")


def sound() -> list[Finding]:
    """Microphone and loudspeaker, as PortAudio sees them."""
    kinds: tuple[tuple[str, devices.Kind], ...] = (("microphone", "input"), ("loudspeaker", "output"))
    found = []
    for part, kind in kinds:
        try:
            known = devices.known_devices(kind)
        except DuologueError as problem:
            return [msgspec.structs.replace(_missing("microphone", problem), needed=False)]
        if known:
            found.append(Finding(part=part, says=known[0].name))
        else:
            remedy = f"Plug one in, or use a file: duologue talk --{kind} FILE.wav"
            found.append(Finding(part=part, says="none", remedy=remedy))
    return found


def openai_key(key: str) -> Finding:
    """Only whether there is one: a key is never shown."""
    if key:
        return Finding(part="OpenAI key", says="found")
    return Finding(
        part="OpenAI key",
        says="none: the embedded server answers",
        remedy="To talk to OpenAI, put OPENAI_API_KEY=sk-… into .env",
    )


async def network(host: str) -> Finding:
    """Whether a connection to the hosted API can be opened from here; nothing is sent."""
    try:
        async with asyncio.timeout(_REACH_S):
            _, writer = await asyncio.open_connection(host, 443)
    except (OSError, TimeoutError):
        remedy = "Only a hosted API needs it; behind a proxy set HTTPS_PROXY."
        return Finding(part="network", says=f"{host} cannot be reached", remedy=remedy)
    writer.close()
    return Finding(part="network", says=f"{host} can be reached")


def extra(name: str, packages: tuple[str, ...]) -> Finding:
    """An optional part of Duologue."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        return Finding(part=name, says="not installed", remedy=f"Run: pip install 'duologue[{name}]'")
    return Finding(part=name, says="installed")


def port_of(command: str, port: int) -> Finding:
    """Whether a command's usual port is free on this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            remedy = f"Another program has it: duologue {command} --port N"
            return Finding(part=f"port {port}", says=f"taken ({command})", remedy=remedy)
    return Finding(part=f"port {port}", says=f"free ({command})")
