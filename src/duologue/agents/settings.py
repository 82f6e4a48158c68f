"""How a session behaves beyond its agents: guardrails, approvals, addresses, money, traces. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import msgspec

from duologue.agents.calls import REJECTED, ToolRules
from duologue.agents.guardrails import GuardrailSettings, InputGuardrail, OutputGuardrail
from duologue.agents.tracker import RealtimePlaybackTracker
from duologue.client.api import ApiKey
from duologue.client.endpoint import ConnectionOptions
from duologue.client.reconnect import ReconnectPolicy
from duologue.dialogue.cost import PriceTable
from duologue.errors import ConfigError
from duologue.transports.call_address import IceServer

_ALIASES = {
    "history_store_audio": "history_audio",
    "output_guardrail_settings": "guardrails",
    "automatically_trigger_response_for_mcp_tool_calls": "respond_to_mcp",
    "trace_include_sensitive_data": "trace_content",
}
"""Names that users of the agents SDKs bring along."""


@dataclass(frozen=True, kw_only=True)
class SessionSettings:
    """What is seldom set.

    `url` and `api_key` are those of `connect`, where it is not told others. The guardrails here stand beside those of every
    agent; `guardrails` says when they look. `budget_usd` ends the conversation when it has cost so much. `reconnect=False`:
    a drop is the end. `history_audio`: items of the history carry their sound.

    `approval_timeout_s`: a call that nobody has decided about after so long is refused; a tool's own goes before it.
    `rejection_message` is what the model reads of a refused call. `respond_to_mcp`: the model speaks about what the Realtime
    server's own tools brought. `playback_tracker` is told by an application that plays by itself.

    `workflow_name`, `group_id` and `trace_metadata` name the provider's trace and stand in the session's own span;
    `tracing_disabled` asks for no trace there and keeps no spans here. `trace_content`: spans carry what was said, and what
    tools were given and gave.
    """

    url: str | None = None
    api_key: ApiKey | None = None
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    reconnect: bool | ReconnectPolicy = True
    budget_usd: float | None = None
    prices: PriceTable | None = None
    ice_servers: tuple[IceServer, ...] = ()
    guardrails: GuardrailSettings = field(default_factory=GuardrailSettings)
    output_guardrails: tuple[OutputGuardrail, ...] = ()
    input_guardrails: tuple[InputGuardrail, ...] = ()
    history_audio: bool = False
    approval_timeout_s: float | None = None
    rejection_message: str = REJECTED
    respond_to_mcp: bool = True
    playback_tracker: RealtimePlaybackTracker | None = None
    workflow_name: str = ""
    group_id: str = ""
    trace_metadata: Mapping[str, Any] = field(default_factory=dict)
    tracing_disabled: bool = False
    trace_content: bool = False

    def tool_rules(self) -> ToolRules:
        """What of them is about tools."""
        return ToolRules(
            approval_timeout_s=self.approval_timeout_s,
            rejection_message=self.rejection_message,
            respond_to_mcp=self.respond_to_mcp,
        )

    def tracing(self) -> dict[str, Any]:
        """As the session has it; empty where nothing was said."""
        if self.tracing_disabled:
            return {"tracing": None}
        named = {"workflow_name": self.workflow_name, "group_id": self.group_id, "metadata": dict(self.trace_metadata)}
        named = {name: value for name, value in named.items() if value}
        return {"tracing": named} if named else {}


def settings_of(settings: SessionSettings | None, options: Mapping[str, Any]) -> SessionSettings:
    """Settings with some of them given by name. Raises ConfigError for a name that none has."""
    given = {_ALIASES.get(name, name): value for name, value in options.items()}
    known = {each.name for each in fields(SessionSettings)}
    if strangers := sorted(set(given) - known):
        raise ConfigError(f"a session has no option {', '.join(strangers)}; known: {', '.join(sorted(known))}")
    for name in ("output_guardrails", "input_guardrails"):
        if name in given:
            given[name] = tuple(given[name])
    if isinstance(given.get("guardrails"), Mapping):
        given["guardrails"] = guardrail_settings(given["guardrails"])
    return replace(settings or SessionSettings(), **given)


def guardrail_settings(given: Mapping[str, Any]) -> GuardrailSettings:
    """Out of a mapping; a `debounce_text_length` of -1 looks at the whole answer only, as in the agents SDKs. Raises
    ConfigError."""
    plain = dict(given)
    if strangers := sorted(set(plain) - {each.name for each in fields(GuardrailSettings)}):
        raise ConfigError(f"guardrails have no setting {', '.join(strangers)}")
    if plain.get("debounce_text_length") == -1:
        plain["debounce_text_length"] = 0
    try:
        return msgspec.convert(plain, GuardrailSettings)
    except msgspec.ValidationError as problem:
        raise ConfigError(f"output_guardrail_settings: {problem}") from None
