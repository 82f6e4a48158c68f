"""The laws that hold in every story, and what a story reached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from story_teller import Storyteller

from duologue.server.commands import CallRemote, ListRemote, OpenUtterance, ReportDropped, StartModel

Event = dict[str, Any]


def check_laws(teller: Storyteller) -> None:
    """All laws."""
    for law in LAWS:
        law(teller)
    if teller.dialect == "beta":
        beta_is_told_in_order(teller)


def responses_begin_and_end_once(teller: Storyteller) -> None:
    """One `response.done` for each `response.created`, nothing of it after; one active in the conversation at a time."""
    created: set[str] = set()
    done: set[str] = set()
    active = None
    for event in teller.script.events():
        kind = event["type"]
        response_id = event.get("response_id")
        if response_id:
            assert response_id in created, f"{kind} before response.created"
            # What the server plays of a response goes on after it was made.
            assert response_id not in done or kind.startswith("output_audio_buffer."), f"{kind} after response.done"
        if kind == "response.created":
            assert event["response"]["id"] not in created
            created.add(event["response"]["id"])
            if event["response"]["conversation_id"]:
                assert active is None, "two active responses"
                active = event["response"]["id"]
        elif kind == "response.done":
            ended = event["response"]["id"]
            assert ended in created - done
            done.add(ended)
            active = None if active == ended else active
    assert created == done, "a response never ended"


def items_come_before_what_is_said_of_them(teller: Storyteller) -> None:
    """An item is added before its deltas, after its predecessor, and said to be done once at most."""
    known: set[str] = set()
    in_conversation: set[str] = set()
    for event in teller.script.events():
        kind = str(event["type"])
        match kind:
            case "conversation.item.added":
                item_id, previous = event["item"]["id"], event["previous_item_id"]
                assert previous in {None, item_id, *in_conversation}, "the predecessor is no item of the conversation"
                known.add(item_id)
                in_conversation.add(item_id)
            case "response.output_item.added":
                assert event["item"]["id"] not in known, "an item is added twice"
                known.add(event["item"]["id"])
            case "conversation.item.deleted":
                in_conversation.remove(event["item_id"])
            case "conversation.item.done":
                assert event["item"]["id"] in in_conversation
            case _ if kind.startswith(("response.output_", "response.content", "response.function", "response.mcp")):
                item_id = event["item"]["id"] if "item" in event else event["item_id"]
                assert item_id in known, f"{kind} before its item"


def speech_starts_and_stops(teller: Storyteller) -> None:
    """Started and stopped alternate, in whole and growing milliseconds; only what is done by hand may end it otherwise."""
    speaking = None
    position_ms = 0
    for event in teller.script.events():
        match event["type"]:
            case "input_audio_buffer.speech_started":
                assert speaking is None
                speaking = event["item_id"]
                assert isinstance(event["audio_start_ms"], int)
            case "input_audio_buffer.speech_stopped":
                assert speaking == event["item_id"]
                speaking = None
                assert isinstance(event["audio_end_ms"], int)
                assert event["audio_end_ms"] > position_ms
                position_ms = event["audio_end_ms"]
            case "input_audio_buffer.committed" | "input_audio_buffer.cleared":
                speaking = None


def pieces_are_the_whole(teller: Storyteller) -> None:
    """What was told piece by piece is what is told at the end."""
    told: dict[tuple[str, str, int], str] = {}
    done: dict[str, list[Event]] = {}
    for event in teller.script.events():
        kind, _, ending = str(event["type"]).rpartition(".")
        place = (kind, event.get("item_id", ""), event.get("content_index", 0))
        if ending == "delta" and "output_audio.delta" not in event["type"]:
            told[place] = told.get(place, "") + event["delta"]
        elif ending == "completed" and "transcript" in event:
            assert told.pop(place, event["transcript"]) == event["transcript"]
        elif ending == "done" and (
            whole := [event[key] for key in ("text", "transcript", "arguments") if key in event]
        ):
            assert told.pop(place, "") in (whole[0], "")
        elif event["type"] == "response.output_item.done":
            outputs = done.setdefault(event["response_id"], [])
            outputs.append(event)
        elif event["type"] == "response.done":
            outputs = sorted(done.get(event["response"]["id"], []), key=lambda each: int(each["output_index"]))
            assert event["response"]["output"] == [each["item"] for each in outputs]
            assert [each["output_index"] for each in outputs] == list(range(len(outputs)))


def numbers_add_up(teller: Storyteller) -> None:
    """Usage and rate limits; a transcription session tells of neither."""
    events = [event for event in teller.script.events() if not event["type"].startswith("output_audio_buffer.")]
    for event, following in zip(events, [*events[1:], {"type": "nothing"}], strict=True):
        kind = str(event["type"])
        assert teller.kind == "realtime" or not kind.startswith(("response.", "rate_limits.")), kind
        if kind == "response.done":
            assert following["type"] == "rate_limits.updated"
            check_usage(event["response"]["usage"])
        elif kind == "rate_limits.updated":
            for limit in event["rate_limits"]:
                assert 0 <= limit["remaining"] <= limit["limit"]


def check_usage(usage: Event) -> None:
    """The sums of one response."""
    read, said = usage["input_token_details"], usage["output_token_details"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["input_tokens"] == read["text_tokens"] + read["audio_tokens"] + read["image_tokens"]
    assert usage["output_tokens"] == said["text_tokens"] + said["audio_tokens"]
    assert read["cached_tokens"] <= usage["input_tokens"]


def work_is_begun_once(teller: Storyteller) -> None:
    """No engine is asked for the same thing twice, and no server is called without the approval it needs."""
    begun: list[tuple[str, str]] = []
    for command in teller.script.commands:
        match command:
            case OpenUtterance(item_id=key) | ListRemote(item_id=key) | CallRemote(item_id=key):
                begun.append((type(command).__name__, key))
            case StartModel(response_id=key):
                begun.append(("StartModel", key))
    assert len(begun) == len(set(begun))


def remote_work_ends_once(teller: Storyteller) -> None:
    """A listing and a call are in progress before they are over, and over once."""
    for kind in ("mcp_list_tools", "response.mcp_call"):
        begun: set[str] = set()
        over: set[str] = set()
        for event in teller.script.events():
            if event["type"] == f"{kind}.in_progress":
                assert event["item_id"] not in begun
                begun.add(event["item_id"])
            elif event["type"] in (f"{kind}.completed", f"{kind}.failed"):
                assert event["item_id"] not in over
                assert event["item_id"] in begun or kind == "response.mcp_call", "over before it began"
                over.add(event["item_id"])


def the_loudspeaker_starts_and_stops(teller: Storyteller) -> None:
    """In a call the server plays: no sound goes into events, and each response's sound starts and ends once.

    That holds for those that speak one after the other; where several speak at once, their sound comes in turns.
    """
    side_by_side = any(not event["response"]["conversation_id"] for event in teller.events("response.created"))
    started: set[str] = set()
    over: set[str] = set()
    for event in teller.script.events():
        kind = str(event["type"])
        if not kind.startswith("output_audio_buffer."):
            assert not teller.call or kind != "response.output_audio.delta"
            continue
        assert teller.call
        if side_by_side:
            continue
        assert event["response_id"] not in over
        if kind == "output_audio_buffer.started":
            assert event["response_id"] not in started
            started.add(event["response_id"])
        elif kind == "output_audio_buffer.cleared":
            started.discard(event["response_id"])  # a response that goes on may speak again
        else:
            assert event["response_id"] in started
            over.add(event["response_id"])


LAWS: tuple[Callable[[Storyteller], None], ...] = (
    responses_begin_and_end_once,
    items_come_before_what_is_said_of_them,
    speech_starts_and_stops,
    pieces_are_the_whole,
    numbers_add_up,
    work_is_begun_once,
    remote_work_ends_once,
    the_loudspeaker_starts_and_stops,
)


def beta_is_told_in_order(teller: Storyteller) -> None:
    """What the reference client of 2024 takes for granted: it throws where one of these fails."""
    created: set[str] = set()
    announced: set[str] = set()
    for event in teller.script.told:
        kind = event["type"]
        assert event["event_id"]
        assert "output_text" not in kind
        assert kind not in ("conversation.item.added", "conversation.item.done", "conversation.created")
        match kind:
            case "response.created":
                assert event["response"]["output"] == []
                assert {"modalities", "temperature", "voice"} <= event["response"].keys()
                created.add(event["response"]["id"])
            case "response.done":
                assert "image_tokens" not in str(event["response"]["usage"])
            case "session.created" | "session.updated":
                assert "audio" not in event["session"]
                assert "temperature" in event["session"]
            case "conversation.item.created" | "response.output_item.added":
                item = event["item"]
                assert item["object"] == "realtime.item"
                assert item["type"] != "message" or isinstance(item["content"], list)
                assert item["type"] != "function_call" or item["status"] == "completed" or item["arguments"] == ""
                announced.add(item["id"])
            case "conversation.item.truncated" | "conversation.item.deleted" | "response.output_item.done":
                assert (event["item"]["id"] if "item" in event else event["item_id"]) in announced
        if event.get("response_id"):
            assert event["response_id"] in created


def note(teller: Storyteller) -> Counter[str]:
    """What the story reached."""
    reached = Counter(teller.reached)
    reached[f"{teller.kind} {'call' if teller.call else 'session'} in {teller.dialect}"] += 1
    reached["context dropped"] += sum(isinstance(command, ReportDropped) for command in teller.script.commands)
    for event in teller.script.events():
        reached[str(event["type"])] += 1
        if event["type"] == "error":
            reached[f"error: {event['error']['code']}"] += 1
        if event["type"] == "response.done":
            response = event["response"]
            details = response["status_details"] or {}
            if response["audio"]["output"]["format"]["type"] != "audio/pcm" and response["output"]:
                reached["G.711 spoken"] += 1
            why = details.get("reason") or (details.get("error") or {}).get("code")
            reached[f"response {response['status']}" + (f": {why}" if why else "")] += 1
    return +reached
