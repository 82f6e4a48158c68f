"""Functions that run in the relay."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from duologue.dialogue.tools import function_tool
from duologue.relay.setup import ServerTool
from duologue.relay.tools import run_tool


def plain(number: int) -> dict[str, int]:
    return {"number": number}


async def awaited(number: int) -> str:
    return f"number {number}"


def broken(number: int) -> str:
    raise LookupError("no order of that number")


async def endless(number: int) -> str:
    await asyncio.Event().wait()
    return ""


def run(function: Callable[..., Any], arguments: str, timeout_s: float = 5) -> str:
    tool = ServerTool(definition=function_tool(function), function=function, timeout_s=timeout_s)
    with ThreadPoolExecutor(1) as threads:
        return asyncio.run(run_tool(tool, arguments, threads))


@pytest.mark.parametrize(("function", "arguments", "told"), [
    (plain, '{"number":7}', '{"number":7}'),
    (awaited, '{"number":7}', "number 7"),
])  # fmt: skip
def test_what_a_function_returns_is_the_answer(function: Callable[..., Any], arguments: str, told: str) -> None:
    answer = run(function, arguments)
    assert (json.loads(answer) == json.loads(told)) if told.startswith("{") else told in answer


@pytest.mark.parametrize(("function", "arguments", "told"), [
    (broken, '{"number":7}', "no order of that number"),
    (plain, "{", "failed"),
    (plain, '{"numbers":7}', "failed"),
    (endless, '{"number":7}', "longer than 0.05 s"),
])  # fmt: skip
def test_what_goes_wrong_is_an_answer_too(function: Callable[..., Any], arguments: str, told: str) -> None:
    assert told in run(function, arguments, 0.05 if function is endless else 5)


def test_a_function_that_does_not_await_keeps_nobody_waiting() -> None:
    names: list[str] = []

    def named(number: int) -> str:
        names.append(threading.current_thread().name)
        return ""

    run(named, '{"number":7}')
    assert names != [threading.current_thread().name]
