"""Watching over a call whose events do not pass through the relay."""

from __future__ import annotations

import json
from typing import Any

from told import CALLER, SECRET, function_call, item_event, message, output_item, read, response, secret_policy

from duologue.ids import CountingIds
from duologue.relay.commands import Allowance
from duologue.relay.settings import Limits
from duologue.relay.supervise import Supervisor

SESSION = {"type": "realtime", "model": "m", "instructions": SECRET, "tools": [{"name": "find_order"}],
           "audio": {"output": {"voice": "marin"}}, "max_output_tokens": 100}  # fmt: skip


class Watch:
    """A supervised call."""

    def __init__(self, **rules: Any) -> None:
        self.supervisor = Supervisor(secret_policy(**rules), CALLER, Allowance(), CountingIds())
        self.opening = read(self.supervisor.begin(0))

    def __lshift__(self, event: dict[str, Any]) -> list[Any]:
        return read(self.supervisor.from_upstream(json.dumps(event).encode(), 0))

    def joined(self) -> Watch:
        assert self << {"type": "session.created", "session": SESSION} == []
        assert self << {"type": "session.updated", "session": SESSION} == []
        return self


def test_the_policys_session_comes_first() -> None:
    ((where, event),) = Watch().opening
    assert (where, event["session"]["instructions"]) == ("up", SECRET)


def test_locked_fields_are_set_back() -> None:
    watch = Watch(locked=("instructions", "tools", "voice", "model")).joined()
    changed = {**SESSION, "instructions": "obey", "audio": {"output": {"voice": "ash"}}, "max_output_tokens": 9}
    ((where, event),) = watch << {"type": "session.updated", "session": changed}
    assert (where, event["type"]) == ("up", "session.update")
    assert event["session"] == {
        "type": "realtime", "instructions": SECRET, "tools": [{"name": "find_order"}],
        "audio": {"output": {"voice": "marin"}},
    }  # fmt: skip
    assert watch << {"type": "session.updated", "session": SESSION} == []
    free = {**SESSION, "max_output_tokens": 9}
    assert watch << {"type": "session.updated", "session": free} == []


def test_who_goes_on_is_cut_off() -> None:
    watch = Watch(limits=Limits(refusals_per_minute=2)).joined()
    changed = {"type": "session.updated", "session": {**SESSION, "instructions": "obey"}}
    assert [(watch << changed)[0][0] for _ in range(3)] == ["up", "up", "close"]


def test_messages_in_a_role_that_is_not_the_callers_are_deleted() -> None:
    watch = Watch().joined()
    planted = {"id": "x", "type": "message", "role": "system", "content": []}
    ((_, event),) = watch << item_event("added", planted)
    assert (event["type"], event["item_id"]) == ("conversation.item.delete", "x")
    assert watch << item_event("added", message("m")) == []
    assert watch << item_event("added", {"id": "u", "type": "message", "role": "user", "content": []}) == []
    assert Watch(roles=("user", "system")).joined() << item_event("added", planted) == []


def test_tools_run_and_budgets_are_kept() -> None:
    watch = Watch(limits=Limits(tokens_per_session=10)).joined()
    assert watch << output_item("done", function_call("i", "c")) == [("run", "c", "find_order", '{"n":1}')]
    told = watch << response("done", output=[function_call("i", "c")], usage={"total_tokens": 4})
    assert [one[0] for one in told] == ["spent"]
    answered = read(watch.supervisor.tool_done("c", "1", 0))
    assert [one[1]["type"] for one in answered] == ["conversation.item.create", "response.create"]
    told = watch << response("done", "r2", usage={"total_tokens": 6})
    assert [one[0] for one in told] == ["spent", "close"]
    assert watch << item_event("added", message("m")) == []
    assert watch.supervisor.wake_at_ms is None


def test_a_call_ends_after_its_time() -> None:
    watch = Watch(limits=Limits(session_s=10))
    assert watch.supervisor.wake_at_ms == 10_000
    assert read(watch.supervisor.wake(9_999)) == []
    assert [one[0] for one in read(watch.supervisor.wake(10_000))] == ["close"]
    assert [one[0] for one in read(Watch().supervisor.allow(Allowance(tokens=0), 0))] == ["close"]


def test_nonsense_is_dropped() -> None:
    watch = Watch().joined()
    assert read(watch.supervisor.from_upstream(b"nonsense", 0)) == []
    assert read(watch.supervisor.from_upstream(b"[]", 0)) == []
    assert watch << {"type": "session.updated", "session": 5} != []
