"""docs/relay.md tells the truth: each attack has its test, each lock and limit is named."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import get_args

import pytest

from duologue.relay.call import Report
from duologue.relay.metrics import Metrics
from duologue.relay.policy import Policy, Refuse
from duologue.relay.settings import DEFAULT_LOCKS, Limits, Lock, parse

HERE = Path(__file__).parent
TEXT = (HERE.parents[1] / "docs" / "relay.md").read_text()
ROWS = [line for line in TEXT.splitlines() if re.search(r"`test_\w+\.py::\w+` \|$", line)]


@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_each_attack_has_its_test(row: str) -> None:
    attack, rule, test = (cell.strip() for cell in row.strip("|").split(" | "))
    file, name = test.strip("` ").split("::")
    assert attack
    assert rule
    functions = [
        node.name for node in ast.walk(ast.parse((HERE / file).read_text())) if isinstance(node, ast.FunctionDef)
    ]
    assert name in functions


def test_the_table_of_attacks_is_whole() -> None:
    table = TEXT.split("| attack | rule | test |")[1].split("\n\n")[0].splitlines()[2:]
    assert len(table) == len(ROWS) > 30


def test_every_lock_and_limit_is_named() -> None:
    locks = TEXT.split("### Locks")[1].split("###")[0]
    assert {lock for lock in get_args(Lock) if f"`{lock}`" not in locks} == set()
    limits = TEXT.split("### Limits")[1].split("###")[0]
    unnamed = {name for name in Limits.__struct_fields__ if f"`{name}`" not in limits}
    assert {name for name in unnamed if not re.match("tokens|usd", name)} == set()


def test_the_locks_that_are_not_set_by_default_are_those_named() -> None:
    said = re.search(r"Not locked by default: ([^.]*)\.", TEXT)
    assert said is not None
    words = {
        "voice",
        "speed",
        "formats",
        "modalities",
        "turn detection",
        "transcription",
        "noise reduction",
        "metadata",
    }
    assert {word.strip() for word in said[1].replace("\n", " ").split(",")} == words
    kinds = {"voice", "speed", "input_format", "output_format", "output_modalities", "turn_detection", "transcription",
             "noise_reduction", "metadata"}  # fmt: skip
    assert set(get_args(Lock)) - set(DEFAULT_LOCKS) == kinds


def test_the_line_of_a_call_and_every_meter_are_shown() -> None:
    (line,) = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    assert tuple(json.loads(line)) == Report.__struct_fields__
    meters = re.findall(r"# TYPE (\w+?)(?:_total)? (?:counter|gauge|histogram)\n", Metrics().page().decode())
    meters = [name for name in meters if not name.endswith("_created")]
    assert len(meters) == 7
    assert {name for name in meters if f"`{name}`" not in TEXT} == set()


def test_the_settings_in_the_text_are_valid() -> None:
    for block in re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL):
        assert parse(block) != parse("")


def test_the_hooks_in_the_text_run() -> None:
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        space: dict[str, object] = {}
        exec(block, space)
        assert callable(space["session"])
    assert Refuse("x").code == "refused_by_policy"
    assert Policy().hooks.session is None
