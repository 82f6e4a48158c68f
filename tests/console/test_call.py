"""The call, played over real sockets with simple engines.

Covers duologue.console.line, duologue.console.pane, duologue.console.panel, duologue.console.config,
duologue.console.embedded, duologue.console.hub, duologue.console.api and duologue.console.refusal too.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest
from desk import desk
from wire import ToneVad, serving, simple_engines

from duologue.console.line import Line, is_farewell
from duologue.console.sound import CLEAR, CLEARED, END, HEARD, MIC, PRESS, RELEASE
from duologue.console.upstream import Upstream, websocket_url
from duologue.errors import EngineError
from duologue.inspector.trace import read, read_header, user_audio
from duologue.protocol.responses import Response
from duologue.server.runner import RealtimeServer

LOUD = b"\x01" * 960
QUIET = bytes(960)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


def test_a_greeting_is_sent_and_answered_and_everything_shows(tmp_path: Path) -> None:
    async def story() -> None:
        async with desk(tmp_path) as console, console.page() as page:
            assert page.call["state"] == "idle"
            await page.connect()
            await page.until(lambda: len(page.talk) == 2 and page.talk[1]["status"] == "completed")
            assert [(item["role"], item["text"]) for item in page.talk] == [
                ("user", "Hello!"),
                ("assistant", "You said Hello!."),
            ]
            of_session = [kind for kind in page.types if kind.startswith("session.")]
            assert of_session[:3] == ["session.update", "session.created", "session.updated"]
            assert page.session["effective"]["silence_duration_ms"] is None  # manual: there is none
            assert page.money["turns"][0]["usd"] == 0
            await console.do("disconnect")
            await page.until(lambda: page.call["state"] == "closed")
            assert len(page.talk) == 2
            assert len(await console.do("item/audio", id=page.order[1])) > 1000

    run(story())


def test_push_to_talk_commits_what_was_said_and_is_answered(tmp_path: Path) -> None:
    async def story() -> None:
        async with desk(tmp_path) as console, console.page() as page:
            await page.connect()
            async with page.sound() as sound:
                await sound.until(END)
                await sound.send(HEARD, 1, 99_999_999)
                await sound.send(MIC, pcm=LOUD)  # before the button: not sent
                await sound.send(PRESS)
                await page.until(lambda: page.call["recording"])
                for _ in range(25):
                    await sound.send(MIC, pcm=LOUD)
                await sound.send(RELEASE)
                await page.until(lambda: len(page.talk) >= 4 and page.talk[3]["status"] == "completed")
            mine = page.talk[2]
            assert (mine["role"], mine["text"], mine["audio_ms"]) == ("user", "500 milliseconds", 500)
            assert len(await console.do("item/audio", id=mine["id"])) == 44 + 500 * 48
            path = Path(page.call["session_file"])
            assert len(user_audio(read(path))) == 500 * 48
            assert read_header(path)["upstream"] == "embedded"

    run(story())


def test_a_press_too_short_for_a_turn_is_forgotten(tmp_path: Path) -> None:
    async def story() -> None:
        async with desk(tmp_path) as console, console.page() as page:
            await page.connect()
            async with page.sound() as sound:
                await sound.send(PRESS)
                await sound.send(MIC, pcm=LOUD)
                await sound.send(RELEASE)
                await page.until(lambda: "input_audio_buffer.cleared" in page.types)
            assert "error" not in page.types

    run(story())


def test_speech_interrupts_and_the_item_is_cut_where_it_was_heard(tmp_path: Path) -> None:
    async def story() -> None:
        async with desk(tmp_path) as console, console.page() as page:
            await console.do("mode", mode="vad")
            await page.connect()
            async with page.sound() as sound:
                first = await sound.until(END)
                await sound.send(HEARD, first, 2_400)
                for _ in range(20):
                    await sound.send(MIC, pcm=LOUD)
                request = await sound.until(CLEAR)
                await sound.send(CLEARED, request, first, 2_880)
                await page.until(lambda: "conversation.item.truncated" in page.types)
                await page.until(lambda: page.talk[1]["cut_ms"] is not None)
            assert page.talk[1]["cut_ms"] == 120
            assert page.talk[1]["audio_ms"] == 160  # the whole stays, to be played again

    run(story())


def test_what_is_typed_over_an_answer_is_answered_aloud_however_late_the_page_says_where_it_stopped(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with desk(tmp_path) as console, console.page() as page:
            await page.connect()
            async with page.sound() as sound:
                first = await sound.until(END)
                await sound.send(HEARD, first, 2_400)
                await console.do("say", text="hello")
                request = await sound.until(CLEAR)
                second = await sound.until(END)  # the whole answer is here before the page has stopped the greeting
                await sound.send(CLEARED, request, first, 2_880)
                await page.until(lambda: page.talk[1]["cut_ms"] is not None)
                await sound.send(HEARD, second, 2_400)
                await page.until(lambda: page.talk[3]["heard_ms"] == 100)
            assert page.talk[1]["cut_ms"] == 120
            assert page.talk[3]["cut_ms"] is None

    run(story())


def test_a_page_that_never_answers_is_cut_at_its_last_report(tmp_path: Path) -> None:
    async def story() -> None:
        async with desk(tmp_path) as console, console.page() as page:
            await console.do("mode", mode="vad")
            await page.connect()
            async with page.sound() as sound:
                first = await sound.until(END)
                await sound.send(HEARD, first, 2_400)
                for _ in range(20):
                    await sound.send(MIC, pcm=LOUD)
                await page.until(lambda: page.talk[1]["cut_ms"] is not None)
            assert page.talk[1]["cut_ms"] == 100

    run(story())


def test_a_reloaded_page_hears_the_rest(tmp_path: Path) -> None:
    async def story() -> None:
        async with desk(tmp_path) as console, console.page() as page:
            await page.connect()
            async with page.sound() as sound:
                first = await sound.until(END)
                whole = sound.received[first]
                await sound.send(HEARD, first, 1_200)
                await page.until(lambda: page.talk[1]["heard_ms"] == 50)
            async with page.sound() as sound:
                again = await sound.until(END)
                assert again != first
                assert sound.received[again] == whole[2_400:]

    run(story())


def test_a_second_connect_changes_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with desk(tmp_path) as console, console.page() as page:
            await asyncio.gather(*(console.do("connect", viewer=page.name) for _ in range(3)))
            await page.until(lambda: "response.done" in page.types)
            assert page.call["number"] == 1
            assert page.types.count("session.created") == 1

    run(story())


def test_a_second_disconnect_cuts_the_first_short_at_no_point(tmp_path: Path) -> None:
    async def story() -> None:
        async with desk(tmp_path) as console, console.page() as page:
            for steps in range(8):
                await console.do("connect", viewer=page.name)
                await page.until(lambda: page.call["state"] == "connected")
                first = asyncio.create_task(console.call.disconnect())
                for _ in range(steps):
                    await asyncio.sleep(0)
                await console.call.disconnect()
                await first
                await page.until(lambda: page.call["state"] == "closed")

    run(story())


def test_a_call_that_is_ended_before_it_began_is_closed(tmp_path: Path) -> None:
    async def story() -> None:
        async with desk(tmp_path) as console, console.page() as page:
            await console.call.connect(page.name)
            await console.call.disconnect()
            await page.until(lambda: page.call["state"] == "closed")

    run(story())


def test_a_second_tab_watches_and_may_take_over(tmp_path: Path) -> None:
    async def story() -> None:
        async with desk(tmp_path) as console, console.page("a") as one, console.page("a") as two:
            assert (one.name, two.name != "a") == ("a", True)  # a duplicated tab gets a name of its own
            await one.connect()
            await two.until(lambda: two.call["owner"] == "a")
            async with two.sound() as watching:
                await watching.socket.wait_closed()
                assert watching.socket.close_code == 4001
            async with one.sound() as first:
                await first.until(END)
                await console.do("take", viewer=two.name)
                await first.socket.wait_closed()
                assert first.socket.close_code == 4001
            async with two.sound() as second:
                assert await second.until(END) > 1

    run(story())


def test_a_call_goes_on_without_its_page_for_a_while_then_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("duologue.console.call.AWAY_SECONDS", 0.1)

    async def story() -> None:
        async with desk(tmp_path) as console, console.page("watcher") as watcher:
            async with console.page("talker") as talker:
                await talker.connect()
            await watcher.until(lambda: watcher.call["state"] == "closed")
            assert watcher.call["reason"] == "its page was closed"

    run(story())


def test_settings_travel_and_what_is_in_force_comes_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with desk(tmp_path) as console, console.page() as page:
            await page.connect()
            await console.do("session", changes={"detection": "server_vad"})
            await page.until(lambda: page.session["effective"]["silence_duration_ms"] == 500)
            await console.do("session", changes={"silence_duration_ms": 700, "instructions": "Be brief."})
            await page.until(lambda: page.session["effective"]["silence_duration_ms"] == 700)
            assert page.session["effective"]["instructions"] == "Be brief."
            assert page.call["mode"] == "vad"
            refused = await console.http.post("/api/session", json={"changes": {"colour": "red"}})
            assert refused.status_code == 409

    run(story())


def test_a_refused_setting_is_told_beside_its_field_until_it_is_changed(tmp_path: Path) -> None:
    async def story() -> None:
        async with desk(tmp_path) as console, console.page() as page:
            await console.do("mode", mode="vad")
            await page.connect()
            await console.do("session", changes={"threshold": 7.5})
            await page.until(lambda: "threshold" in page.session["refused"])
            assert "maximum" in page.session["refused"]["threshold"]
            assert [banner["code"] for banner in page.banners] == ["setting"]
            await console.do("session", changes={"threshold": 0.4})
            await page.until(lambda: page.session["effective"]["threshold"] == 0.4)
            assert page.session["refused"] == {}
            await page.until(lambda: page.banners == [])

    run(story())


def test_the_microphone_of_a_closed_tab_is_free(tmp_path: Path) -> None:
    async def story() -> None:
        async with desk(tmp_path) as console, console.page("two") as watcher:
            async with console.page("one") as owner:
                await owner.connect()
                await watcher.until(lambda: watcher.call["owner"] == owner.name)
            async with asyncio.timeout(2):
                await watcher.until(lambda: watcher.call["vacant"])
            async with console.page("one"):
                await watcher.until(lambda: not watcher.call["vacant"])
            await watcher.until(lambda: watcher.call["vacant"])
            await console.do("take", viewer=watcher.name)
            await watcher.until(lambda: watcher.call["owner"] == watcher.name and not watcher.call["vacant"])

    run(story())


def test_items_can_be_deleted_in_the_call_and_after_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with desk(tmp_path) as console, console.page() as page:
            await page.connect()
            first, second = page.order
            await console.do("item/delete", id=first)
            await page.until(lambda: page.order == [second])
            await console.do("disconnect")
            await console.do("item/delete", id=second)
            await page.until(lambda: page.order == [])

    run(story())


def test_tools_run_and_show(tmp_path: Path) -> None:
    async def story() -> None:
        async with desk(tmp_path) as console, console.page() as page:
            await page.connect()
            await console.do("say", text="tool")  # the echo calls its first tool, with arguments that do not fit
            await page.until(lambda: any(item["kind"] == "function_call_output" for item in page.talk))
            call = next(item for item in page.talk if item["tool"])
            assert call["tool"]["name"] == "get_weather"

    run(story())


def test_event_bodies_are_fetched_when_looked_at(tmp_path: Path) -> None:
    async def story() -> None:
        async with desk(tmp_path) as console, console.page() as page:
            await page.connect()
            row = next(row for row in page.rows if row["type"] == "response.output_audio.delta")
            children = await console.do("events/children", row=row["n"], offset=0, limit=50)
            assert len(children) == row["count"]
            body = await console.do("event", n=row["first"])
            assert "bytes of sound" in body["json"]
            raw = await console.do("event/raw", n=row["first"], offset=0, limit=10_000_000)
            assert json.loads(raw)["type"] == row["type"]
            part = await console.do("event/raw", n=row["first"], offset=2, limit=5)
            assert part == raw[2:7]
            assert (await console.do("event/audio", n=row["first"]))[:4] == b"RIFF"
            gone = await console.http.post("/api/event", json={"n": 10_000})
            assert gone.status_code == 409

    run(story())


def test_a_feed_that_was_lost_goes_on_where_it_was_and_another_process_starts_over(tmp_path: Path) -> None:
    async def story() -> None:
        async with desk(tmp_path) as console:
            async with console.page() as page:
                await page.connect()
                await console.do("disconnect")
                await page.until(lambda: page.call["state"] == "closed")
                seen = page.frames[-1]
            await console.do("budget", usd=5)
            async with console.page("again", epoch=seen["epoch"], rev=seen["rev"]) as again:
                assert "rows" not in again.frames[0]
                assert again.frames[0]["money"]["budget_usd"] == 5
            async with console.page("other", epoch="another", rev=seen["rev"]) as other:
                await other.until(lambda: "response.done" in other.types)

    run(story())


def test_an_engine_that_cannot_start_is_said_with_its_remedy(tmp_path: Path) -> None:
    class Broken(ToneVad):
        async def start(self) -> None:
            raise EngineError("tone", "is out of tune.", remedy="Tune it.")

    async def story() -> None:
        engines = msgspec.structs.replace(simple_engines(), vad=Broken())
        async with desk(tmp_path, engines=engines) as console, console.page() as page:
            await console.do("connect", viewer=page.name)
            await page.until(lambda: page.call["state"] == "closed")
            assert [(b["cause"], b["step"]) for b in page.banners] == [("tone: is out of tune.", "Tune it.")]

    run(story())


def test_the_filter_runs_in_python(tmp_path: Path) -> None:
    async def story() -> None:
        async with desk(tmp_path) as console, console.page() as page:
            await page.connect()
            await page.feed.send(json.dumps({"filter": "Session."}))
            await page.until(lambda: "hits" in page.state and len(page.hits["rows"]) >= 3)
            found = [page.rows[n]["type"] for n in page.hits["rows"]]
            assert found[:3] == ["session.update", "session.created", "session.updated"]
            assert all(kind.startswith("session.") for kind in found)

    run(story())


def test_another_server_answers_and_the_page_switches_without_a_restart(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(RealtimeServer(simple_engines())) as url, desk(tmp_path) as console, console.page() as page:
            await console.do("upstream", kind="url", url=url.replace("ws://", "http://"))
            await page.connect()
            await page.until(lambda: page.money["turns"])
            assert (page.money["usd"], page.money["local"], page.money["known"]) == (0, True, True)
            assert page.upstream["label"].endswith("duologue")
            busy = await console.http.post("/api/upstream", json={"kind": "embedded"})
            assert busy.status_code == 409

    run(story())


def elsewhere(url: str) -> str:
    """The server under an address that is not known to be of this machine."""
    return url.replace("127.0.0.1", "0.0.0.0")


def test_a_server_elsewhere_has_a_price_only_where_its_model_is_known(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(RealtimeServer(simple_engines())) as url, desk(tmp_path) as console, console.page() as page:
            await console.do("upstream", kind="url", url=elsewhere(url))
            await page.connect()
            await page.until(lambda: page.money["turns"])
            assert (page.money["usd"], page.money["known"]) == (0, False)
            await console.do("disconnect")
            await console.do("upstream", kind="url", url=elsewhere(url), model="gpt-realtime")
            await console.do("connect", viewer=page.name)
            await page.until(lambda: page.money["usd"] > 0)
            assert page.money["estimated"]

    run(story())


def test_a_spent_budget_ends_the_call_politely(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(RealtimeServer(simple_engines())) as url, desk(tmp_path) as console, console.page() as page:
            await console.do("upstream", kind="url", url=elsewhere(url), model="gpt-realtime")
            await console.do("budget", usd=0.000001)
            await page.connect()
            async with page.sound() as sound:
                await sound.until(END)
                await sound.send(HEARD, 1, 99_999_999)
                second = await sound.until(END)
                await sound.send(HEARD, second, 99_999_999)
                await page.until(lambda: page.call["state"] == "closed")
            assert page.call["reason"] == "the budget is spent"
            assert [banner["code"] for banner in page.banners] == ["budget"]
            assert page.talk[-1]["role"] == "assistant"

    run(story())


def test_a_server_that_is_not_there_is_said_with_the_next_step(tmp_path: Path) -> None:
    async def story() -> None:
        nowhere = Upstream(kind="url", url=websocket_url("ws://127.0.0.1:9"))
        async with desk(tmp_path, upstream=nowhere) as console, console.page() as page:
            await console.do("connect", viewer=page.name)
            await page.until(lambda: page.call["state"] == "closed")
            assert page.banners[0]["code"] == "upstream-again"
            assert "127.0.0.1:9" in page.banners[0]["cause"]
            assert page.banners[0]["step"]
            await console.do("banner/close", id=page.banners[0]["id"])
            await page.until(lambda: page.banners == [])

    run(story())


def test_a_server_that_goes_away_ends_the_call_with_the_reason(tmp_path: Path) -> None:
    async def story() -> None:
        async with desk(tmp_path) as console, console.page() as page:
            async with serving(RealtimeServer(simple_engines())) as url:
                await console.do("upstream", kind="url", url=url, model="m")
                await page.connect()
            await page.until(lambda: page.call["state"] == "closed")
            assert (page.call["reason_code"], page.call["reason"]) == (
                "ended-restart",
                "the server was stopped or restarted",
            )
            assert [banner["code"] for banner in page.banners] == ["ended-restart"]
            await console.do("upstream", kind="embedded")  # a new choice: what was wrong with the old one is no news
            await page.until(lambda: page.banners == [])
            refused = await console.http.post("/api/say", json={"text": "hello?"})
            assert refused.status_code == 409

    run(story())


def test_openai_without_a_key_is_refused_with_the_next_step_and_a_key_is_never_shown(tmp_path: Path) -> None:
    async def story() -> None:
        async with desk(tmp_path, upstream=Upstream(kind="openai")) as console, console.page() as page:
            refused = await console.http.post("/api/connect", json={"viewer": page.name})
            assert refused.json()["code"] == "no-key"
        async with desk(tmp_path, upstream=Upstream(kind="openai"), key="sk-secret") as console, console.page() as page:
            assert page.upstream["has_key"]
            assert "sk-secret" not in json.dumps(page.frames)

    run(story())


@pytest.mark.parametrize("body", [b"[1]", b"{", b'{"n": "x"}', b"\xff"])
def test_nonsense_is_refused_in_words(tmp_path: Path, body: bytes) -> None:
    async def story() -> None:
        async with desk(tmp_path) as console:
            answer = await console.http.post("/api/event", content=body)
            assert answer.status_code == 400
            assert (await console.http.post("/api/nothing", json={})).status_code == 404

    run(story())


def test_the_key_in_an_address_never_reaches_the_page_and_an_unchanged_form_keeps_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(RealtimeServer(simple_engines())) as url, desk(tmp_path) as console, console.page() as page:
            await console.do("upstream", kind="url", url=f"{url}?token=s3cr3t&model=m")
            await page.until(lambda: page.upstream["model"] == "m")
            assert "s3cr3t" not in json.dumps(page.frames)
            shown = page.upstream
            await console.do("upstream", kind="url", url=shown["url"], model="other")
            await page.until(lambda: page.upstream["model"] == "other")
            assert console.call._upstream.url.endswith("?token=s3cr3t&model=m")
            await console.do("upstream", kind="url", url="ws://127.0.0.1:9", model="other")
            assert "s3cr3t" not in console.call._upstream.url

    run(story())


def test_a_call_that_cannot_be_recorded_goes_on(tmp_path: Path) -> None:
    blocked = tmp_path / "sessions"
    blocked.write_text("a file where the folder should be")

    async def story() -> None:
        async with desk(blocked) as console, console.page() as page:
            await page.connect()
            await page.until(lambda: len(page.talk) == 2 and page.talk[1]["status"] == "completed")
            assert [banner["code"] for banner in page.banners] == ["recording"]
            assert page.call["session_file"] == ""
            assert len(await console.do("item/audio", id=page.order[1])) > 1000
            gone = await console.http.post("/api/event", json={"n": 0})
            assert gone.json()["code"] == "gone"

    run(story())


def test_sound_that_was_heard_is_not_kept_twice_and_can_still_be_played_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with desk(tmp_path) as console, console.page() as page:
            await page.connect()
            async with page.sound() as sound:
                first = await sound.until(END)
                whole = sound.received[first]
                assert console.call._voice.kept_bytes == len(whole)
                await sound.send(HEARD, first, 2_400)
                await page.until(lambda: page.talk[1]["heard_ms"] == 100)
                assert console.call._voice.kept_bytes == len(whole) - 100 * 48
                await console.do("say", text="stop")  # what was not heard is cut
                await page.until(lambda: page.talk[1]["cut_ms"] is not None)
            wav = await console.do("item/audio", id=page.order[1])
            assert wav[44:] == whole

    run(story())


def test_only_the_goodbye_ends_a_call_whose_budget_is_spent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with serving(RealtimeServer(simple_engines())) as url, desk(tmp_path) as console, console.page() as page:
            await console.do("upstream", kind="url", url=elsewhere(url), model="gpt-realtime")
            await console.do("budget", usd=0.000001)
            done: list[bool] = []
            paid = console.call.paid

            def watched(response: Response) -> None:
                was_due = console.call._chores.due("farewell")
                paid(response)
                done.append(is_farewell(response))
                if not was_due:  # another answer that is over meanwhile
                    timer = console.call._chores._timers["farewell"]
                    paid(response)
                    assert console.call._chores._timers["farewell"] is timer

            monkeypatch.setattr(console.call, "paid", watched)
            await page.connect()
            await page.until(lambda: page.call["state"] == "closed")
            assert done == [False, True]
            assert page.call["reason"] == "the budget is spent"

    run(story())


def test_engines_that_could_not_start_are_started_again_at_the_next_connect(tmp_path: Path) -> None:
    class Late(ToneVad):
        missing = True

        async def start(self) -> None:
            if Late.missing:
                raise EngineError("tone", "is out of tune.", remedy="Tune it.")

    async def story() -> None:
        engines = msgspec.structs.replace(simple_engines(), vad=Late())
        async with desk(tmp_path, engines=engines) as console, console.page() as page:
            await console.do("connect", viewer=page.name)
            await page.until(lambda: page.call["state"] == "closed")
            Late.missing = False
            await page.connect()
            assert page.call["state"] == "connected"

    run(story())


def test_a_problem_in_a_call_that_was_connected_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: Line, text: str) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Line, "say", broken)

    async def story() -> None:
        async with desk(tmp_path) as console, console.page() as page:
            await console.do("connect", viewer=page.name)
            await page.until(lambda: page.call["state"] == "closed")
            assert page.call["reason_code"] == "ended-problem"
            assert "Input/output error" in page.banners[-1]["cause"]

    run(story())


def test_one_event_costs_the_same_in_a_long_conversation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with desk(tmp_path) as console, console.page() as page:
            await page.connect()
            for n in range(12):
                await console.do("say", text=f"word {n}")
                await page.until(lambda n=n: page.types.count("response.done") == n + 2)  # type: ignore[misc]
            looked: list[str] = []
            put = console.call._pane.put
            monkeypatch.setattr(console.call._pane, "put", lambda item: (looked.append(item.id), put(item)))
            before = len(page.order)
            await console.do("say", text="one more")
            await page.until(lambda: page.types.count("response.done") == 14)
            assert set(looked) <= {*page.order[before:], *page.order[before - 1 : before]}

    run(story())
