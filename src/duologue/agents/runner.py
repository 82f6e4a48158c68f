"""The shape that users of the agents SDK for Python know: a runner that makes sessions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from duologue.agents.agent import RealtimeAgent
from duologue.agents.session import RealtimeSession, Transport
from duologue.agents.settings import SessionSettings, guardrail_settings
from duologue.client.endpoint import ConnectionOptions
from duologue.errors import ConfigError

_RUN = {"model_settings", "output_guardrails", "guardrails_settings", "tracing_disabled", "async_tool_calls"}
_MODEL = {"api_key", "url", "headers", "initial_model_settings", "call_id", "playback_tracker"}


class RealtimeRunner:
    """Makes any number of sessions of one agent, each with a connection of its own; `model` is their transport.

    `config` may hold `model_settings`, `output_guardrails`, `guardrails_settings` (`debounce_text_length`) and
    `tracing_disabled`. Raises ConfigError for anything else: tools always run beside the stream.
    """

    def __init__(
        self,
        starting_agent: RealtimeAgent,
        *,
        model: Transport | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self._agent = starting_agent
        self._transport = model
        self._config = _only(config, _RUN)

    async def run(self, *, context: Any = None, model_config: Mapping[str, Any] | None = None) -> RealtimeSession:
        """A session that connects when it is entered: `async with await runner.run() as session`. `model_config` may hold
        `api_key`, `url`, `headers`, `initial_model_settings`, `call_id` and
        `playback_tracker`."""
        config, model = self._config, _only(model_config, _MODEL)
        options = ConnectionOptions(headers=model.get("headers") or {}, call_id=model.get("call_id") or "")
        guardrails = guardrail_settings(config.get("guardrails_settings") or {})
        settings = SessionSettings(
            url=model.get("url"),
            api_key=model.get("api_key"),
            connection=options,
            guardrails=guardrails,
            output_guardrails=tuple(config.get("output_guardrails") or ()),
            playback_tracker=model.get("playback_tracker"),
            tracing_disabled=bool(config.get("tracing_disabled")),
        )
        session_config = {**(config.get("model_settings") or {}), **(model.get("initial_model_settings") or {})}
        return RealtimeSession(self._agent, self._transport, config=session_config, context=context, settings=settings)


def _only(given: Mapping[str, Any] | None, known: set[str]) -> dict[str, Any]:
    if strangers := sorted(set(given or {}) - known):
        raise ConfigError(f"there is no {', '.join(strangers)}; known: {', '.join(sorted(known))}")
    return dict(given or {})
