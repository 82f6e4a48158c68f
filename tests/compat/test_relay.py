"""All kinds of callers through `duologue relay` to `duologue serve`: the stories that they tell without it, and others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import test_agents_node as agents_node
import test_agents_python as agents_python
import test_openai_beta_sdk as beta_sdk
import test_openai_sdk as openai_sdk
import test_reference_client as reference_client
import websockets
from realserver import clip, duologue_relay
from reference import ReferenceClient

from duologue.client.client import RealtimeClient

Story = Callable[[str], None]
OPEN = """
[callers]
secret_env = "RELAY_SIGNING_KEY"
loopback_open = true
[[callers.tokens]]
user = "sdk"
sha256 = "27a11f62f60f24541cd8be8dd2782c036fc41afd03ad4782205f875aeee71245"
[[callers.tokens]]
user = "backend"
sha256 = "d6a7cd2a7371b1a15d543196979ff74fdb027023ebf187d5d329be11055c77fd"
[policy]
locked = []
roles = ["user", "assistant", "system"]
item_types = ["message", "function_call", "function_call_output", "mcp_approval_response"]
session_types = ["realtime", "transcription"]
caller_mcp = true
[limits]
audio_s_per_minute = 100_000
events_per_s = 10_000
events_burst = 10_000
"""
"""Nothing is forbidden: whatever fails then is the relay's fault. The tokens are the keys of the stories."""
CLOSED = """
[session]
instructions = "Be brief."
[limits]
audio_s_per_minute = 100_000
"""
BETA_UPSTREAM = OPEN + '[upstream]\ndialect = "beta"\n'


@pytest.fixture(scope="module")
def relay(host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with duologue_relay(host, tmp_path_factory.mktemp("open"), OPEN) as address:
        yield address


@pytest.fixture(scope="module")
def slow_relay(slow_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with duologue_relay(slow_host, tmp_path_factory.mktemp("slow"), OPEN) as address:
        yield address


@pytest.fixture(scope="module")
def closed_relay(host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with duologue_relay(host, tmp_path_factory.mktemp("closed"), CLOSED) as address:
        yield address


@pytest.fixture(scope="module")
def beta_upstream(host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with duologue_relay(host, tmp_path_factory.mktemp("beta"), BETA_UPSTREAM) as address:
        yield address


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clips as raw PCM16 at 24 kHz."""
    folder = tmp_path_factory.mktemp("sounds")
    for name in ("weather_in_paris", "seven_times_eight"):
        (folder / f"{name}.pcm").write_bytes(clip(name))
    return folder


def named(story: Callable[..., None]) -> str:
    return f"{story.__module__}.{story.__name__}"


@pytest.mark.parametrize(
    "story",
    [
        openai_sdk.test_text,
        openai_sdk.test_push_to_talk,
        openai_sdk.test_function_call_and_its_output,
        openai_sdk.test_retrieve_and_delete,
        openai_sdk.test_transcription,
        openai_sdk.test_the_client_without_async,
        openai_sdk.test_the_dispatcher_and_the_iterator_of_the_sdk,
        agents_python.test_text,
        agents_python.test_a_spoken_question_runs_a_tool_and_is_answered,
        agents_python.test_handoff,
        reference_client.test_every_event_is_one_that_it_counts_on,
        reference_client.test_push_to_talk,
        reference_client.test_a_tool_runs_on_what_the_deltas_brought,
        reference_client.test_deleting_an_item,
        reference_client.test_instructions_are_obeyed,
    ],
    ids=named,
)
def test_a_story_is_the_same(story: Story, relay: str) -> None:
    story(relay)


@pytest.mark.parametrize(
    "story",
    [
        openai_sdk.test_server_vad_with_barge_in_and_truncation,
        openai_sdk.test_cancel,
        openai_sdk.test_out_of_band_beside_the_conversation,
        agents_python.test_barge_in,
        agents_python.test_output_guardrail,
        reference_client.test_voice_detection_and_interruption,
        reference_client.test_cancelling_at_a_sample,
    ],
    ids=named,
)
def test_an_interrupted_story_is_the_same(story: Story, slow_relay: str) -> None:
    story(slow_relay)


@pytest.mark.parametrize("kind", ["realtime", "transcription"])
def test_a_client_secret_of_the_relays_own_opens_the_session_it_was_made_for(kind: str, relay: str) -> None:
    openai_sdk.test_a_client_secret_opens_the_session_it_was_made_for(relay, kind)


@pytest.mark.parametrize(
    "story",
    [
        agents_node.test_text,
        agents_node.test_with_a_client_secret_as_in_a_browser,
        agents_node.test_tool,
        beta_sdk.test_text,
        beta_sdk.test_push_to_talk,
        beta_sdk.test_function_call_and_its_output,
        beta_sdk.test_items,
    ],
    ids=named,
)
def test_a_story_of_another_process_is_the_same(story: Callable[..., None], relay: str, sounds: Path) -> None:
    story(relay, sounds)


def test_a_remote_tool_is_called_through_the_relay(relay: str, sounds: Path, mcp_url: str) -> None:
    agents_node.test_a_remote_tool_is_called_once_it_is_approved(relay, sounds, mcp_url)


@pytest.mark.parametrize("scenario", ["voice", "defaults"])
def test_a_spoken_question_in_node(scenario: str, relay: str, sounds: Path) -> None:
    agents_node.test_a_spoken_question_runs_a_tool_and_is_answered(relay, sounds, scenario)


@pytest.mark.parametrize(
    "story",
    [
        openai_sdk.test_text,
        openai_sdk.test_push_to_talk,
        openai_sdk.test_function_call_and_its_output,
        agents_python.test_text,
        agents_python.test_a_spoken_question_runs_a_tool_and_is_answered,
    ],
    ids=named,
)
def test_a_ga_caller_on_an_upstream_of_2024(story: Story, beta_upstream: str) -> None:
    story(beta_upstream)


@pytest.mark.parametrize(
    "story", [reference_client.test_every_event_is_one_that_it_counts_on, reference_client.test_push_to_talk], ids=named
)
def test_a_caller_of_2024_on_an_upstream_of_2024(story: Story, beta_upstream: str) -> None:
    story(beta_upstream)


@pytest.mark.parametrize("story", [agents_python.test_text, reference_client.test_push_to_talk], ids=named)
def test_callers_that_send_what_is_locked_talk_all_the_same(story: Story, closed_relay: str) -> None:
    story(closed_relay)


@asynccontextmanager
async def at_the_root(host: str) -> AsyncIterator[ReferenceClient]:
    """As the console of 2024 calls its relay: no path, no model, and no key."""
    offered: Any = ["realtime", "openai-insecure-api-key.null", "openai-beta.realtime-v1"]
    async with websockets.connect(f"ws://{host}", subprotocols=offered) as socket:
        yield ReferenceClient(socket)


def test_the_console_of_2024_calls_the_root_without_a_model_or_a_key(closed_relay: str) -> None:
    async def story() -> None:
        async with at_the_root(closed_relay) as client:
            created = await client.until("session.created")
            assert created["session"]["instructions"] == ""
            await client.update_session()
            await client.until("session.updated")
            await client.send_user_message({"type": "input_text", "text": "what is seven times eight"})
            await client.until("response.done")
            assert client.conversation()[-1] == ("assistant", "7 times 8 is 56.")

    asyncio.run(story())


def test_our_own_client_talks_through_the_relay(closed_relay: str) -> None:
    async def story() -> None:
        client = RealtimeClient(url=f"ws://{closed_relay}", api_key="")
        await client.connect()
        await client.send_user_message_content([{"type": "input_text", "text": "what is seven times eight"}])
        done = await client.realtime.wait_for_next("server.response.done", 20)
        assert done is not None
        assert "56" in json.dumps(msgspec.to_builtins(done))
        await client.disconnect()

    asyncio.run(story())


def test_tools_of_the_relay_run_out_of_sight(host: str, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "from pathlib import Path\n\n\n"
        "def get_weather(city: str) -> str:\n"
        '    """Tells the weather in a city."""\n'
        '    Path("asked").write_text(city)\n'
        '    return f"It is 21.5 degrees in {city}."\n'
    )

    async def story(relay: str) -> None:
        async with openai_sdk.on_the_line(relay) as line:
            await line.configure(output_modalities=["text"])
            await line.say("what is the weather in paris")
            await line.wire.response.create()
            while "21.5" not in json.dumps((await line.until("response.done"))[-1].to_dict()):
                pass
            assert b"get_weather" not in b"".join(line.frames)
            assert "function_call" not in json.dumps([event.to_dict() for event in line.events])

    with duologue_relay(host, tmp_path, '[[tools]]\nfunction = "shop:get_weather"\n') as relay:
        asyncio.run(story(relay))
    assert (tmp_path / "asked").read_text() == "Paris"
