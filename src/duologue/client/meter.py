"""What a conversation costs so far, and when its budget is spent. Pure."""

from __future__ import annotations

from msgspec import UNSET

from duologue.client.payloads import UsageUpdate
from duologue.dialogue.cost import PriceTable, Totals, cost_of, default_prices, transcription_cost
from duologue.errors import ConfigError
from duologue.protocol import server_events as ev
from duologue.protocol.codec import UnknownEvent
from duologue.protocol.responses import Usage
from duologue.protocol.session import AnySession, RealtimeSession, Transcription


class Meter:
    """Adds up usage over all connections of a client. Its figures are estimates by `prices`, a table of a day.

    Raises ConfigError for a budget that is no amount of money.
    """

    def __init__(self, budget_usd: float | None = None, prices: PriceTable | None = None) -> None:
        if budget_usd is not None and not (isinstance(budget_usd, int | float) and budget_usd > 0):
            raise ConfigError(f"a budget is more than 0 dollars, not {budget_usd!r}")
        self.budget_usd = budget_usd
        self.prices = prices or default_prices()
        self.totals = Totals()
        self._model = ""
        self._listener = ""

    @property
    def spent(self) -> bool:
        """Whether the budget is used up."""
        return self.budget_usd is not None and self.totals.usd >= self.budget_usd

    @property
    def unpriced_model(self) -> str | None:
        """The model, if there is a budget and no price to keep it by."""
        if self.budget_usd is None or not self._model or self.prices.price(self._model) is not None:
            return None
        return self._model

    def in_force(self, session: AnySession) -> None:
        """The session says which models work for it."""
        if isinstance(session, RealtimeSession) and isinstance(session.model, str):
            self._model = session.model
        audio = session.audio
        if audio is not UNSET and audio.input is not UNSET and isinstance(audio.input.transcription, Transcription):
            name = audio.input.transcription.model
            self._listener = name if isinstance(name, str) else ""

    def apply(self, event: ev.ServerEvent | UnknownEvent) -> UsageUpdate | None:
        """Count what the event says was used; None where it says nothing."""
        match event:
            case ev.ResponseDone(response=response) if response.usage is not None:
                usage: Usage = response.usage
                cost = cost_of(usage, self._model, self.prices)
                self.totals = self.totals.plus(usage, cost)
                return UsageUpdate(response_id=response.id, usage=usage, cost=cost, totals=self.totals)
            case ev.InputAudioTranscriptionCompleted(item_id=item_id, usage=heard) if heard:
                paid = transcription_cost(heard, self._listener, self.prices)
                self.totals = self.totals.plus_transcription(paid)
                return UsageUpdate(item_id=item_id, usage=heard, totals=self.totals)
        return None
