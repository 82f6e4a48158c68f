"""placeholder"""

from __future__ import annotations

from typing import Any

from duologue.console.views import MoneyView


class Purse:
    def __init__(self, budget_usd: float | None = None) -> None:
        self.budget_usd = budget_usd
        self.exhausted = False

    def add(self, response: Any, *, model: str, local: bool) -> None:
        pass

    def view(self) -> MoneyView:
        return MoneyView(
            turns=(), tokens_in=0, tokens_out=0, usd=0.0, estimated=False, known=True, budget_usd=self.budget_usd
        )
