"""The banners of the page: what went wrong, why, and what to do next. Pure."""

from __future__ import annotations

from duologue.console.feed import Feed
from duologue.console.views import BannerView

SHOWN = 4


class Notices:
    """At most four at a time; the same cause again replaces the older."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._count = 0
        self._banners: tuple[BannerView, ...] = ()
        self.clear()

    def add(self, code: str, cause: str, step: str) -> None:
        """Show a problem."""
        self._count += 1
        others = [banner for banner in self._banners if banner.cause != cause]
        self._show(tuple([*others, BannerView(id=self._count, code=code, cause=cause, step=step)][-SHOWN:]))

    def close(self, banner_id: int) -> None:
        """The user has read it."""
        self._show(tuple(banner for banner in self._banners if banner.id != banner_id))

    def clear(self) -> None:
        """A new call begins."""
        self._show(())

    def _show(self, banners: tuple[BannerView, ...]) -> None:
        self._banners = banners
        self._feed.show("banners", banners)
