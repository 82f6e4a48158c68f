"""Write `docs/compatibility.md`: every event, item and field of the protocol, and what `duologue serve` does with it.

Events, items and fields come from the protocol's types, and which events are sent from the server's own code. What the
types cannot tell stands in the tables below; a test fails where a table and the code no longer fit together.

`python tools/compatibility.py` writes the page, `--check` only says whether it is current.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from msgspec import Struct

from duologue.protocol import items, responses, session
from duologue.protocol.client_events import ClientEvent
from duologue.protocol.server_events import ServerEvent

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "compatibility.md"
YES, TAKEN, NO = "yes", "taken, without effect", "no"

CLIENT_EVENTS = {
    "output_audio_buffer.clear": (
        YES,
        "In calls; over a WebSocket the client plays, and it is refused with an `error`.",
    ),
}
"""Client events that are not simply done; all others are."""

NOT_SENT = {
    "conversation.created": "The GA protocol does not have it, and clients that count events stumble over it.",
    "conversation.item.created": "The beta dialect's name: its clients get it in place of `conversation.item.added`.",
    "conversation.item.input_audio_transcription.segment": "No embedded recognizer tells speakers apart.",
    "input_audio_buffer.dtmf_event_received": "For telephone calls; elsewhere there are no keys to press.",
}
"""Server events that this server never sends, and why."""

FIELDS: dict[str, dict[str, tuple[str, str]]] = {
    "RealtimeSession": {
        "object": (YES, "Set by the server."),
        "id": (YES, "Set by the server; a client's value is ignored."),
        "model": (YES, "From the URL; repeating or changing it in an update changes nothing."),
        "output_modalities": (YES, '`["audio"]` or `["text"]`.'),
        "instructions": (YES, ""),
        "tools": (YES, "Functions with unique names, and remote MCP servers by `server_url` (with the extra `mcp`)."),
        "tool_choice": (YES, "`auto`, `none`, `required`, a function, or a remote server or tool."),
        "max_output_tokens": (YES, "1 to 4096 or `inf`; a response that hits it ends `incomplete`."),
        "tracing": (TAKEN, "Shown as it was set and frozen once it is on; nothing is uploaded."),
        "truncation": (
            YES,
            "`auto`, `disabled`, or a ratio; whole items leave from the front, calls with their outputs.",
        ),
        "prompt": (TAKEN, "Prompts stored at a provider cannot be read here."),
        "expires_at": (YES, "Set by the server."),
        "audio": (YES, "See the fields below."),
        "include": (TAKEN, "Log probabilities may be asked for; the embedded recognizers have none."),
        "reasoning": (TAKEN, "No engine takes an effort."),
        "parallel_tool_calls": (YES, "Handed to the model."),
    },
    "TranscriptionSession": {
        "object": (YES, "Set by the server."),
        "id": (YES, "Set by the server."),
        "expires_at": (YES, "Set by the server."),
        "audio": (YES, "`audio.input` only."),
        "include": (TAKEN, "As above."),
    },
    "AudioInput": {
        "format": (YES, "PCM at 24 kHz, G.711 µ-law and A-law; may change at any time."),
        "transcription": (YES, "Null hides transcripts from the client; the model still reads them."),
        "noise_reduction": (
            YES,
            "Needs the extra `noise` (not on Windows), else it is refused; may change at any time.",
        ),
        "turn_detection": (YES, "Null for turns by hand; may change in the middle of speech."),
    },
    "AudioOutput": {
        "format": (YES, "PCM at 24 kHz, G.711 µ-law and A-law; holds from the next response."),
        "voice": (YES, "Unknown names are mapped to a voice of the engine; fixed once it was heard."),
        "speed": (YES, "0.25 to 1.5, between responses."),
    },
    "Transcription": {
        "model": (TAKEN, "The server has one recognizer, whatever its name."),
        "language": (YES, "Handed to the recognizer."),
        "prompt": (YES, "Handed to the recognizer, and to the model for hints."),
        "delay": (
            YES,
            "With it, words are told while they are spoken; the longer, the surer. `xhigh` waits for the end.",
        ),
        "keywords": (YES, "Handed over as a part of the prompt."),
        "languages": (YES, "Where there is only one, it is the language."),
    },
    "NoiseReduction": {
        "type": (YES, "`near_field` or `far_field`; turn detection, recognizer and items hear the filtered sound."),
        "strength": (TAKEN, ""),
    },
    "ServerVad": {
        "threshold": (YES, "0 to 1."),
        "prefix_padding_ms": (YES, "Milliseconds of audio."),
        "silence_duration_ms": (YES, "Milliseconds of audio; 200 unless set."),
        "idle_timeout_ms": (YES, "5000 to 30000, counted from the end of playback."),
        "create_response": (YES, ""),
        "interrupt_response": (YES, "While the assistant is heard, 160 ms of speech are needed."),
    },
    "SemanticVad": {
        "eagerness": (
            YES,
            "The longest wait: high 2 s, medium and auto 4 s, low 8 s; who sounds finished waits far less.",
        ),
        "create_response": (YES, ""),
        "interrupt_response": (YES, "As above."),
    },
    "ResponseCreateParams": {
        "conversation": (YES, "`auto` or `none`; any number of the latter beside each other."),
        "input": (YES, "Items and references; sound among them is transcribed first."),
        "instructions": (YES, ""),
        "output_modalities": (YES, ""),
        "audio": (YES, "Format and voice of this response."),
        "tools": (YES, ""),
        "tool_choice": (YES, ""),
        "max_output_tokens": (YES, ""),
        "metadata": (YES, "16 pairs; echoed in the response."),
        "prompt": (TAKEN, "As in the session."),
        "reasoning": (TAKEN, "As in the session."),
        "parallel_tool_calls": (YES, ""),
    },
    "McpServerTool": {
        "server_label": (YES, "Unique among the tools."),
        "server_url": (YES, "http or https; streamable HTTP."),
        "connector_id": (NO, "There are no connectors here: refused with an `error`."),
        "tunnel_id": (NO, "There are no tunnels here: refused with an `error`."),
        "server_description": (YES, "Read by the model with each tool's own description."),
        "authorization": (YES, "Sent as a bearer token; never shown again."),
        "headers": (YES, "Sent with each request; never shown again."),
        "allowed_tools": (YES, "Names, or a filter by name and `read_only`."),
        "require_approval": (YES, "`always` unless set; `never`, or filters, of which `always` outweighs `never`."),
        "allowed_callers": (TAKEN, ""),
        "defer_loading": (TAKEN, "Tools are listed at once."),
    },
    "RetentionRatio": {
        "retention_ratio": (YES, "0 to 1: how much of the context stays when it is full."),
        "token_limits": (YES, "`post_instructions`: tokens for all items together."),
    },
}
"""What becomes of each field, by the struct that holds it."""

ITEMS = {
    "message": (YES, "User, system and assistant; assistant speech only comes from the model."),
    "function_call": (YES, ""),
    "function_call_output": (YES, "Its call must be in the conversation."),
    "mcp_list_tools": (YES, "Made by the server, once for each server that the settings name."),
    "mcp_call": (YES, "Made by the server; the model reads it as a function call and its output, also a client's own."),
    "mcp_approval_request": (YES, "Made by the server; one that a client puts in cannot be answered."),
    "mcp_approval_response": (YES, "Runs the call outside of any response, or lets it fail with the reason."),
    "item_reference": (YES, "In `response.create` only."),
    "input_text": (YES, ""),
    "input_audio": (YES, "In the session's input format."),
    "input_image": (YES, "PNG and JPEG as data URIs, where the model takes pictures (`--llm-url`)."),
    "output_text": (YES, ""),
    "output_audio": (YES, "From the model only; with sound in `conversation.item.retrieved`."),
}


def sent_events() -> set[str]:
    """Types of the events that the server's code makes."""
    names: set[str] = set()
    for path in (ROOT / "src" / "duologue" / "server").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "wire":
                names.add(node.attr)
    return {tag(kind) for kind in get_args(ServerEvent) if kind.__name__ in names}


def tag(kind: type[Struct]) -> str:
    """The name of a struct on the wire."""
    return str(kind.__struct_config__.tag)


def summary(kind: type[Struct]) -> str:
    """The first sentence of its docstring."""
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())


def fields(kind: type[Struct]) -> list[str]:
    """Its fields as the wire names them."""
    return [name for name in kind.__struct_encode_fields__ if name != "event_id"]


def row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def table(*head: str) -> list[str]:
    return ["", row(*head), row(*("---" for _ in head))]


def page() -> str:
    """The whole page."""
    sent = sent_events()
    lines = [
        "# What `duologue serve` does with the protocol",
        "",
        "Written by `python tools/compatibility.py` from the code; do not edit. The dialect is GA; the beta dialect of",
        "2024 is translated at the connection. *Taken* means: accepted and shown, so that clients work unchanged.",
        "",
        "## Client events",
        *table("event", "fields", "", "how"),
    ]
    for kind in get_args(ClientEvent):
        status, note = CLIENT_EVENTS.get(tag(kind), (YES, summary(kind)))
        lines.append(row(f"`{tag(kind)}`", code(fields(kind)), status, note))
    lines += ["", "## Server events", *table("event", "fields", "sent", "when, or why not")]
    for kind in get_args(ServerEvent):
        is_sent = tag(kind) in sent
        note = summary(kind) if is_sent else NOT_SENT[tag(kind)]
        lines.append(row(f"`{tag(kind)}`", code(fields(kind)), YES if is_sent else NO, note))
    lines += ["", "## Items and content", *table("type", "fields", "", "how")]
    for kind in item_kinds():
        lines.append(row(f"`{tag(kind)}`", code(fields(kind)), *ITEMS[tag(kind)]))
    lines += ["", "## Settings"]
    for name, notes in FIELDS.items():
        lines += ["", f"### {name}", "", summary(struct(name)), *table("field", "", "how")]
        lines += [row(f"`{field}`", *notes[field]) for field in fields(struct(name))]
    return "\n".join(lines) + "\n"


def code(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def item_kinds() -> Iterator[type[Struct]]:
    """Every kind of item, then every kind of content."""
    yield from get_args(items.InputItem)
    yield from get_args(items.Content)


def struct(name: str) -> type[Struct]:
    """A struct of the settings by its name."""
    found: type[Struct] = getattr(session, name, None) or getattr(responses, name)
    return found


def gaps() -> list[str]:
    """Where the tables and the code no longer fit together."""
    sent, known = sent_events(), {tag(kind) for kind in get_args(ServerEvent)}
    wrong = [f"{name} is not sent, and nothing says why" for name in known - sent - NOT_SENT.keys()]
    wrong += [f"{name} is sent by now" for name in sent & NOT_SENT.keys()]
    wrong += [f"{name} is no event" for name in NOT_SENT.keys() - known]
    kinds = {tag(kind) for kind in item_kinds()}
    wrong += [f"item or content {name}" for name in kinds ^ ITEMS.keys()]
    for name, notes in FIELDS.items():
        wrong += [f"{name}.{field}" for field in set(fields(struct(name))) ^ notes.keys()]
    return sorted(wrong)


def main() -> int:
    if missing := gaps():
        print("tools/compatibility.py must be told about:", *missing, sep="\n  ")
        return 1
    if "--check" in sys.argv:
        current = PAGE.exists() and PAGE.read_text() == page()
        print("docs/compatibility.md is current" if current else "run: python tools/compatibility.py")
        return 0 if current else 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
