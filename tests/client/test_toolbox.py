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
