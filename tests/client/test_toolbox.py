from __future__ import annotations

import asyncio
import json

import pytest

from duologue.client.toolbox import Toolbox
from duologue.errors import ConfigError


def test_plain_async_and_failing_tools() -> None:
    async def story() -> None:
        box = Toolbox()

        async def later(text: str) -> str:
            return text.upper()

        def opaque() -> object:
            return object()

        box.add(None, later)
        box.add({"name": "now", "parameters": {"type": "object", "properties": {"n": {}}}}, lambda n: {"n": n})
        box.add(None, opaque)
        assert await box.run("later", '{"text":"loud"}') == "LOUD"
        assert await box.run("now", '{"n":1}') == '{"n":1}'
        for name, arguments in [("opaque", "{}"), ("later", "{"), ("later", "{}"), ("nobody", "{}")]:
            assert "error" in json.loads(await box.run(name, arguments))

    asyncio.run(story())


def test_adding_and_removing() -> None:
    box = Toolbox()
    box.add({"name": "t"}, print)
    assert "t" in box
    assert box.definitions() == [{"type": "function", "name": "t"}]
    box.remove("t")
    with pytest.raises(ConfigError, match="no tool named"):
        box.remove("t")
    with pytest.raises(ConfigError, match="name"):
        box.add({"description": "nameless"}, print)
    with pytest.raises(ConfigError, match="function"):
        box.add({"name": "t"}, "not callable")  # type: ignore[arg-type]


def test_a_name_is_taken_once() -> None:
    box = Toolbox()
    box.add({"name": "t"}, print)
    with pytest.raises(ConfigError, match="already"):
        box.add({"name": "t"}, repr)
    box.remove("t")
    box.add({"name": "t"}, repr, background=True)
    assert box.in_background("t")
    assert not box.in_background("u")


def test_a_tool_past_its_deadline_and_one_with_a_timeout_of_its_own_are_told_apart() -> None:
    async def story() -> None:
        box = Toolbox()

        async def forever() -> None:
            await asyncio.Event().wait()

        async def upstream() -> None:
            raise TimeoutError("the station did not answer")

        box.add(None, forever, timeout_s=0.01)
        box.add(None, upstream)
        assert "longer than 0.01 seconds" in await box.run("forever", "{}")
        assert "the station did not answer" in await box.run("upstream", "{}")

    asyncio.run(story())
