"""The keys for rules."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from procroute_tui.acting import Acting
from procroute_tui.model.rules import RuleBook

if TYPE_CHECKING:
    from procroute_tui.rule_changing import RuleChanger


class Ruling(Acting):
    """The part of the application that shows rules and makes them.

    rules_news: rules may be others than those that were last heard of.
    """

    rule_changer: RuleChanger

    def __init__(self) -> None:
        super().__init__()
        self.rule_book = RuleBook()
        self.rules_news = asyncio.Event()

    async def action_rule(self) -> None:
        """Make one of the chosen process."""
        await self.start(self.rule_changer.make)

    async def action_rules(self) -> None:
        """All of them."""
        await self.rule_changer.show()

    async def action_why(self) -> None:
        """Which one holds for the chosen process."""
        await self.start(self.rule_changer.why)
