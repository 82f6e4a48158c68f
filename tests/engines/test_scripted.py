from __future__ import annotations

import asyncio
from datetime import datetime

import pytest
from scripted_talk import ALL, CONSOLE, LIGHT, NOW, SONG, TABLE, WEATHER, Talk, assistant, tool, user

from duologue.engines import places
from duologue.engines.base import LlmDone, LlmEvent, LlmRequest, TextDelta, ToolCallDelta
from duologue.engines.scripted import ScriptedLlm
from duologue.engines.scripted.respond import respond
from duologue.protocol.items import FunctionCall, FunctionCallOutput, InputAudio, Message
from duologue.protocol.session import ChooseFunction

FALLBACK = "I only know scripted answers; connect a model with --llm-url."


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("Hello!", "Hello! I am the scripted responder of Duologue. How can I help you?"),
        ("good morning", "Hello! I am the scripted responder of Duologue. How can I help you?"),
        ("say hello world", "Hello world"),
        ('Say "one, two"', "One, two"),
        ("echo testing the sound", "Testing the sound"),
        ("repeat after me: I am here", "I am here"),
        ("count to five", "One, two, three, four, five."),
        ("Count from 3 to 5.", "Three, four, five."),
        ("count down from three", "Three, two, one."),
        ("spell cat", "Cat: C, A, T."),
        ("what time is it", "It is 2:05 PM."),
        ("tell me the time", "It is 2:05 PM."),
        ("tell me the date please", "Today is Saturday, November 21, 2026."),
        ("What is the date?", "Today is Saturday, November 21, 2026."),
        ("what is seven times eight", "7 times 8 is 56."),
        ("What's 3.5 plus 2 * 2?", "3.5 plus 2 times 2 is 7.5."),
        ("twenty one divided by two", "21 divided by 2 is 10.5."),
        ("what is 1 / 3", "1 divided by 3 is about 0.3333."),
        ("what is one divided by zero", "Nothing can be divided by zero."),
        ("ten minus twelve", "10 minus 12 is -2."),
        ("thank you very much", "You are welcome."),
        ("goodbye", "Goodbye!"),
        ("stop", "Okay."),
        ("yes please", "Okay."),
        ("", "Sorry, I did not catch that."),
        ("...", "Sorry, I did not catch that."),
        ("repeat that", "I have not said anything yet."),
        ("why is the sky blue?", FALLBACK),
        ("tell me a story", FALLBACK),
        ("it is my turn", FALLBACK),
    ],
)
@pytest.mark.parametrize("tools", [(), CONSOLE, ALL], ids=["no tools", "console", "all"])
def test_answers_of_its_own(said: str, answer: str, tools: tuple[object, ...]) -> None:
    assert Talk(*tools).says(said) == answer  # type: ignore[arg-type]


def test_says_what_it_is() -> None:
    for question in ("who are you", "What are you?", "are you a human?", "What is your name?"):
        answer = Talk().says(question)
        assert "scripted responder" in answer
        assert "not a language model" in answer


def test_help_names_the_tools() -> None:
    assert "get weather" in Talk(WEATHER).says("what can you do?")


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("안녕하세요", "안녕하세요! 듀올로그의 각본 응답기입니다. 무엇을 도와드릴까요?"),
        ("지금 몇 시야?", "지금은 14시 5분입니다."),
        ("오늘 무슨 요일이야?", "오늘은 2026년 11월 21일 토요일입니다."),
        ("셋까지 세어 줘", "하나, 둘, 셋."),
        ("칠 곱하기 팔은?", "7 곱하기 8, 답은 56입니다."),
        ("고마워", "천만에요."),
        ("사랑이란 무엇인가", "저는 정해진 대답만 알고 있습니다. --llm-url로 모델을 연결하세요."),
    ],
)
def test_korean(said: str, answer: str) -> None:
    assert Talk(*CONSOLE).says(said) == answer


def test_korean_weather() -> None:
    talk = Talk(WEATHER, outputs={"get_weather": '{"temperature":{"value":21.3,"units":"°C"}}'})
    ((name, arguments),) = talk.calls("서울 날씨 어때?")
    assert (name, arguments["location"]) == ("get_weather", "서울")
    assert arguments["lat"] == pytest.approx(37.57, abs=0.05)
    assert talk.spoken() == "서울: 기온 21.3도입니다."
    assert talk.says("날씨 알려줘") == "어느 도시요?"
    assert talk.calls("파리")[0][1]["location"] == "파리"


def test_repeats_what_it_said() -> None:
    talk = Talk()
    talk.says("count to three")
    assert talk.says("say that again please") == "One, two, three."


def test_answers_again_what_was_cut_before_anything_was_heard() -> None:
    talk = Talk()
    talk.items += [user("count to three"), assistant("")]
    assert talk.plan().text == "One, two, three."


def test_a_call_that_has_no_output_yet_is_not_made_again() -> None:
    talk = Talk(WEATHER)
    talk.items += [user("what is the weather in Paris"), FunctionCall(call_id="c", name="get_weather", arguments="{}")]
    assert talk.plan().calls == ()


@pytest.mark.parametrize("words", ["stop", "stop them", "okay stop that", "please stop counting", "stop it now"])
def test_stops(words: str) -> None:
    assert Talk().says(words) == "Okay."


def test_remembers_what_the_user_told() -> None:
    talk = Talk()
    assert talk.says("what is my name") == "You have not told me your name yet."
    assert talk.says("my name is anna") == "Nice to meet you, Anna."
    assert talk.says("my favorite color is blue") == "Noted: your favorite color is blue."
    assert talk.says("what is my name?") == "Your name is Anna."
    assert talk.says("what's my favorite color") == "Your favorite color is blue."


def test_speech_counts_by_its_transcript() -> None:
    heard = Message(role="user", content=(InputAudio(transcript="what time is it"),))
    assert respond(LlmRequest(items=(heard,)), NOW).text == "It is 2:05 PM."
    unheard = Message(role="user", content=(InputAudio(transcript=None),))
    assert respond(LlmRequest(items=(unheard,)), NOW).text == "Sorry, I did not catch that."


def test_greets_when_asked_to_begin() -> None:
    assert respond(LlmRequest(items=()), NOW).text.startswith("Hello!")
    assert respond(LlmRequest(items=(), language="ko"), NOW).text.startswith("안녕하세요!")


@pytest.mark.parametrize(
    ("instructions", "said", "answer"),
    [
        ("You are kind. Always mention bananas.", "say hi", "Hi Bananas."),
        ("You must mention the word pineapple in every answer.", "what time is it", "It is 2:05 PM. Pineapple."),
        ("Always answer with 'Yes, sir!'.", "what time is it", "Yes, sir!"),
        ("Only say meow.", "hello", "meow"),
        ("Say exactly: hello there", "what time is it", "hello there"),
        ("Respond with exactly one word: ok", "what time is it", "ok"),
        ("Reply with: pong", "ping", "pong"),
        ("Say hello to the user", "tell me a story", "Hello"),
        ("Greet with Welcome to Acme!", "hello", "Welcome to Acme"),
        ("Greet with Welcome to Acme!", "count to two", "One, two."),
        ("Speak Korean.", "what time is it", "지금은 14시 5분입니다."),
        ("항상 한국어로 말해", "hello", "안녕하세요! 듀올로그의 각본 응답기입니다. 무엇을 도와드릴까요?"),
        ("Always respond in English.", "안녕", "Hello! I am the scripted responder of Duologue. How can I help you?"),
        ("Be brief.", "hello", "Hello! I am the scripted responder of Duologue."),
        ("Speak English unless the user speaks another language.", "고마워", "천만에요."),
        (
            "Say in one short sentence that the money is used up, and say goodbye.",
            "hi",
            "The money is used up. Goodbye",
        ),
        ("Your name is Bob.", "hello", "Hello! I am Bob. How can I help you?"),
        ("You are a helpful assistant. Never say goodbye.", "count to two", "One, two."),
    ],
)
def test_instructions(instructions: str, said: str, answer: str) -> None:
    assert Talk(instructions=instructions).says(said) == answer


def test_instructions_of_a_response_without_new_input() -> None:
    items = (user("hello"), assistant("Hello!"))
    assert respond(LlmRequest(items=items, instructions="Say 'one two three'"), NOW).text == "one two three"


def test_tool_choice() -> None:
    assert Talk(WEATHER, tool_choice="none").says("what is the weather in Paris") == FALLBACK
    talk = Talk(*CONSOLE, LIGHT, tool_choice="required")
    ((name, _),) = talk.calls("hello")
    assert name in {"get_weather", "set_memory", "turn_on_light"}
    assert Talk(*CONSOLE, LIGHT, tool_choice="required").calls("light in the bedroom") == [
        ("turn_on_light", {"room": "bedroom"})
    ]
    named = Talk(*CONSOLE, LIGHT, tool_choice=ChooseFunction(name="turn_on_light"))
    assert named.calls("what is the weather in Paris") == [("turn_on_light", {"room": "kitchen"})]
    assert named.spoken().startswith("Done")


def test_parallel_calls_or_one_after_another() -> None:
    said = "what is the weather in Paris and in London"
    both = Talk(WEATHER).calls(said)
    assert [arguments["location"] for _, arguments in both] == ["Paris", "London"]
    talk = Talk(WEATHER, parallel_tool_calls=False, outputs={"get_weather": '{"temperature_c": 20}'})
    assert [arguments["location"] for _, arguments in talk.calls(said)] == ["Paris"]
    assert [arguments["location"] for _, arguments in talk.step()] == ["London"]
    assert talk.step() == []
    assert talk.spoken() == (
        "In Paris, the temperature is 20 degrees Celsius. In London, the temperature is 20 degrees Celsius."
    )


def test_two_tools_in_one_sentence() -> None:
    calls = Talk(*CONSOLE, LIGHT).calls("Remember that my name is Anna and turn on the kitchen light, please.")
    assert calls == [("set_memory", {"key": "name", "value": "Anna"}), ("turn_on_light", {"room": "kitchen"})]


def test_asks_for_what_is_missing_until_it_has_all() -> None:
    talk = Talk(TABLE, *CONSOLE)
    assert talk.says("I'd like to book a table") == "How many people?"
    assert talk.says("we are four") == "Which city?"
    assert talk.calls("in Rome, please") == [("book_table", {"people": 4, "city": "Rome"})]


def test_a_question_can_be_dropped_or_overtaken() -> None:
    talk = Talk(SONG, *CONSOLE)
    assert talk.says("play a song") == "What is the title?"
    assert talk.says("never mind") == "Okay."
    assert talk.says("Yesterday") == FALLBACK
    assert talk.says("what is the weather") == "Which city?"
    assert talk.calls("remember that my name is Anna") == [("set_memory", {"key": "name", "value": "Anna"})]


def test_an_interrupted_question_still_counts() -> None:
    talk = Talk(WEATHER)
    talk.items += [user("what is the weather"), assistant("Which")]
    assert talk.calls("Paris")[0][1]["location"] == "Paris"


def test_a_follow_up_changes_the_last_call() -> None:
    talk = Talk(*CONSOLE, LIGHT)
    talk.says("what is the weather in Paris")
    assert talk.calls("and in London?")[0][1]["location"] == "London"
    assert talk.spoken()
    assert talk.calls("Tokyo")[0][1]["location"] == "Tokyo"
    assert talk.spoken()
    talk.says("turn on the light in the kitchen")
    assert talk.calls("what about the bedroom") == [("turn_on_light", {"room": "bedroom"})]


def test_a_question_left_over_follows_the_result() -> None:
    talk = Talk(*CONSOLE, LIGHT, outputs={"get_weather": '{"temperature_c": 20}'})
    assert [name for name, _ in talk.calls("what is the weather in Paris and turn on the light")] == ["get_weather"]
    assert talk.spoken().endswith("Which room: kitchen, living room or bedroom?")
    assert talk.calls("the kitchen")[-1] == ("turn_on_light", {"room": "kitchen"})


def test_brevity_cuts_no_result() -> None:
    talk = Talk(WEATHER, outputs={"get_weather": '{"temperature_c": 20}'}, instructions="Answer briefly.")
    assert talk.says("what is the weather in Paris and London").count("20 degrees") == 2


def test_failed_tool_is_told() -> None:
    talk = Talk(WEATHER, outputs={"get_weather": '{"error": "the network is missing"}'})
    assert talk.says("weather in Oslo") == "Sorry, get weather failed: the network is missing."


def test_output_of_an_unknown_call_is_spoken() -> None:
    items = (user("hi"), FunctionCallOutput(call_id="call_x", output='{"answer": 42}'))
    assert respond(LlmRequest(items=items), NOW).text == "The answer is 42."


def test_a_tool_by_any_name_wins_over_built_in_answers() -> None:
    clock = tool("get_current_time", "Tells the time in a city", city={"type": "string"})
    assert Talk(clock).calls("what time is it in Tokyo") == [("get_current_time", {"city": "Tokyo"})]


def test_start_reads_the_cities_before_anyone_asks() -> None:
    places._table.cache_clear()
    places.spoken.cache_clear()
    asyncio.run(ScriptedLlm().start())
    assert places._table.cache_info().currsize == 1


async def read(llm: ScriptedLlm, request: LlmRequest) -> list[LlmEvent]:
    return [event async for event in llm.stream(request)]


def fixed_time() -> datetime:
    return NOW


def test_streams_text_in_pieces() -> None:
    events = asyncio.run(read(ScriptedLlm(now=fixed_time), LlmRequest(items=(user("count to ten"),))))
    texts = [event.text for event in events[:-1] if isinstance(event, TextDelta)]
    assert len(texts) == len(events) - 1 == 10
    assert "".join(texts) == "One, two, three, four, five, six, seven, eight, nine, ten."
    assert events[-1] == LlmDone(reason="stop")


def test_streams_calls_in_pieces() -> None:
    request = LlmRequest(items=(user("weather in Paris and in London"),), tools=(WEATHER,))
    events = asyncio.run(read(ScriptedLlm(), request))
    deltas = [event for event in events if isinstance(event, ToolCallDelta)]
    assert [(delta.index, delta.name) for delta in deltas if delta.name] == [(0, "get_weather"), (1, "get_weather")]
    first = "".join(delta.arguments for delta in deltas if delta.index == 0)
    assert first == respond(request, NOW).calls[0].arguments
    assert len(deltas) > 4


def test_stops_at_the_token_limit() -> None:
    request = LlmRequest(items=(user("count to ten"),), max_output_tokens=3)
    events = asyncio.run(read(ScriptedLlm(), request))
    assert events == [
        TextDelta(text="One,"),
        TextDelta(text=" two,"),
        TextDelta(text=" three,"),
        LlmDone(reason="length"),
    ]
    enough = LlmRequest(items=(user("count to three"),), max_output_tokens=3)
    assert asyncio.run(read(ScriptedLlm(), enough))[-1] == LlmDone(reason="stop")


def test_pace_and_closing() -> None:
    async def talk() -> tuple[float, int]:
        loop = asyncio.get_running_loop()
        start = loop.time()
        stream = ScriptedLlm(tokens_per_second=100).stream(LlmRequest(items=(user("count to ten"),)))
        seen = 0
        async for _ in stream:
            seen += 1
            if seen == 5:
                break
        await stream.aclose()  # type: ignore[attr-defined]
        return loop.time() - start, seen

    elapsed_s, seen = asyncio.run(talk())
    assert seen == 5
    assert elapsed_s >= 0.045


def test_former_turns_of_others_do_not_confuse_it() -> None:
    items = (
        user("what is the weather in Paris"),
        FunctionCall(call_id="c", name="no_such_tool", arguments="not json"),
        FunctionCallOutput(call_id="c", output="fine"),
        assistant("Fine."),
        user("hello"),
    )
    plan = respond(LlmRequest(items=items, tools=CONSOLE), NOW)
    assert plan.text.startswith("Hello!")
    assert plan.calls == ()
