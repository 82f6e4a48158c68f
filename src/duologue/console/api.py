"""The commands of the page: one name each, a JSON object in, JSON (or sound) out. A refusal says cause and next step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Struct
from starlette.responses import Response

from duologue.audio.wav import pack_wav
from duologue.console import frames
from duologue.console.call import Call
from duologue.console.refusal import Refused
from duologue.console.upstream import Upstream, parse_upstream
from duologue.errors import ConfigError, DuologueError

MAX_TEXT = 20_000
MAX_RAW_BYTES = 1_000_000


class _Args(Struct, kw_only=True):
    """Everything that any command takes; what a command does not use is ignored."""

    viewer: str = ""
    id: str | int = ""
    text: str = ""
    mode: str = ""
    kind: str = ""
    url: str = ""
    model: str = ""
    usd: float | None = None
    n: int = -1
    row: int = -1
    offset: int = 0
    limit: int = 500
    changes: dict[str, Any] = {}


class Api:
    """Runs commands against the call."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._commands: dict[str, Callable[[_Args], Awaitable[Any]]] = {
            "hello": self._hello,
            "connect": lambda a: call.connect(a.viewer),
            "disconnect": lambda a: call.disconnect(),
            "take": lambda a: call.take(a.viewer),
            "say": self._say,
            "mode": self._mode,
            "session": lambda a: call.change_session(a.changes),
            "upstream": self._upstream,
            "budget": self._budget,
            "banner/close": self._close_banner,
            "item/delete": lambda a: call.delete_item(str(a.id)),
            "item/audio": self._item_audio,
            "events/children": self._children,
            "event": self._event,
            "event/raw": self._raw,
            "event/audio": self._event_audio,
        }

    async def run(self, name: str, body: bytes) -> Response:
        """The command `name` with a JSON body: 200, 404 for an unknown one, 400 for nonsense, 409 with the reason."""
        command = self._commands.get(name)
        if command is None:
            return _json({"code": "unknown", "cause": f"no command {name!r}", "step": ""}, 404)
        try:
            result = await command(msgspec.json.decode(body or b"{}", type=_Args))
        except msgspec.MsgspecError as problem:
            return _json({"code": "nonsense", "cause": str(problem), "step": ""}, 400)
        except Refused as refusal:
            return _json({"code": refusal.code, "cause": refusal.cause, "step": refusal.step}, 409)
        except (ValueError, DuologueError) as problem:
            return _json({"code": "refused", "cause": str(problem), "step": ""}, 409)
        return result if isinstance(result, Response) else _json(result)

    async def _hello(self, args: _Args) -> None:
        """Only to see whether the cookie is still good."""

    async def _say(self, args: _Args) -> None:
        if args.text.strip():
            await self._call.say(args.text.strip()[:MAX_TEXT])

    async def _mode(self, args: _Args) -> None:
        if args.mode not in ("manual", "vad"):
            raise ValueError("mode is manual or vad")
        await self._call.change_session({"detection": "manual" if args.mode == "manual" else "server_vad"})

    async def _upstream(self, args: _Args) -> None:
        try:
            wish = parse_upstream(args.url if args.kind == "url" else args.kind, model=args.model)
        except ConfigError as problem:
            raise Refused("bad-address", str(problem), "") from None
        if args.kind == "url" and wish.kind != "url":
            wish = Upstream(model=args.model)
        self._call.set_upstream(wish)

    async def _budget(self, args: _Args) -> None:
        if args.usd is not None and not 0 <= args.usd < 1e6:
            raise ValueError("a budget is a number of dollars, 0 or more")
        self._call.set_budget(args.usd)

    async def _close_banner(self, args: _Args) -> None:
        self._call.notices.close(int(args.id or 0))

    async def _item_audio(self, args: _Args) -> Response:
        return _wav(self._call.item_sound(str(args.id)))

    async def _children(self, args: _Args) -> Any:
        return self._call.feed.children(args.row, args.offset, min(args.limit, 2000))

    async def _event(self, args: _Args) -> Any:
        return frames.body(args.n, self._call.frame(args.n))

    async def _raw(self, args: _Args) -> Response:
        frame = self._call.frame(args.n)
        start = max(args.offset, 0)
        part = frame[start : start + max(0, min(args.limit, MAX_RAW_BYTES))]
        return Response(part, media_type="text/plain; charset=utf-8")

    async def _event_audio(self, args: _Args) -> Response:
        return _wav(frames.sound(self._call.frame(args.n)))


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")


def _wav(pcm: bytes) -> Response:
    if not pcm:
        raise Refused("replay", "there is no sound", "")
    return Response(pack_wav(pcm[: len(pcm) // 2 * 2]), media_type="audio/wav")
