"""The running bill of a call: tokens and dollars a turn and altogether, against a budget. Pure."""

from __future__ import annotations

from duologue.console.views import MoneyView, TurnCost
from duologue.dialogue.cost import Cost, Totals, cost_of, default_prices
from duologue.protocol.responses import InputTokens, OutputTokens, Response

SHOWN_TURNS = 500


class Purse:
    """One call's. `budget_usd` None: no limit; a server on this machine costs nothing, whatever it counts."""

    def __init__(self, budget_usd: float | None = None, *, local: bool = True) -> None:
        self.budget_usd = budget_usd
        self._turns: list[TurnCost] = []
        self._totals = Totals()
        self._local = local

    def add(self, response: Response, model: str) -> None:
        """Put a finished response on the bill; one without usage costs nothing that we know of."""
        usage = response.usage
        if usage is None:
            return
        cost = Cost() if self._local else cost_of(usage, model, default_prices())
        self._totals = self._totals.plus(usage, cost)
        read = usage.input_token_details
        said = usage.output_token_details
        into = read if isinstance(read, InputTokens) else InputTokens(text_tokens=usage.input_tokens)
        out = said if isinstance(said, OutputTokens) else OutputTokens(text_tokens=usage.output_tokens)
        turn = TurnCost(
            response=response.id,
            text_in=into.text_tokens,
            audio_in=into.audio_tokens,
            cached_in=into.cached_tokens,
            text_out=out.text_tokens,
            audio_out=out.audio_tokens,
            usd=cost.usd if cost else 0.0,
            estimated=not self._local,
        )
        self._turns = [*self._turns, turn][-SHOWN_TURNS:]

    @property
    def exhausted(self) -> bool:
        """True once the budget is spent. What costs nothing never exhausts one."""
        return self.budget_usd is not None and 0 < self._totals.usd >= self.budget_usd

    def view(self) -> MoneyView:
        """For the page. Dollars come from a price table, hence estimates; $0 of a server on this machine is none."""
        return MoneyView(
            turns=tuple(self._turns),
            tokens_in=self._totals.input_tokens,
            tokens_out=self._totals.output_tokens,
            usd=self._totals.usd,
            estimated=bool(self._turns) and not self._local,
            known=self._totals.unpriced == 0,
            local=self._local,
            budget_usd=self.budget_usd,
        )
