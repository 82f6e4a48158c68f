"""The banners of the page: what went wrong, why, and what to do next. Pure."""

from __future__ import annotations

from duologue.console.feed import Feed
from duologue.console.views import BannerView

SHOWN = 3


class Notices:
    """At most three at a time; the same problem again replaces the older, and what works again takes its banner away."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._count = 0
        self._banners: tuple[BannerView, ...] = ()
        self.clear()

    def add(self, code: str, cause: str, step: str) -> None:
        """Show a problem."""
        if any(banner.cause == cause and banner.code != code for banner in self._banners):
            return  # what it led to: the first to tell of it knows best what to do
        self._count += 1
        others = [banner for banner in self._banners if code != banner.code]
        self._show(tuple([*others, BannerView(id=self._count, code=code, cause=cause, step=step)][-SHOWN:]))

    def solved(self, *codes: str) -> None:
        """What these are about has just worked."""
        self._show(tuple(banner for banner in self._banners if banner.code not in codes))

    def close(self, banner_id: int) -> None:
        """The user has read it."""
        self._show(tuple(banner for banner in self._banners if banner.id != banner_id))

    def clear(self) -> None:
        """A new call begins."""
        self._show(())

    def _show(self, banners: tuple[BannerView, ...]) -> None:
        self._banners = banners
        self._feed.show("banners", banners)
