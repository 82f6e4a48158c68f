from __future__ import annotations

from duologue.console.feed import Feed
from duologue.console.notices import SHOWN, Notices


def causes(feed: Feed) -> list[str]:
    return [banner.cause for banner in feed.section("banners")]


def test_the_same_cause_shows_once_and_the_oldest_gives_way() -> None:
    feed = Feed("e")
    notices = Notices(feed)
    for number in range(SHOWN + 1):
        notices.add("x", f"cause {number}", "step")
    notices.add("y", "cause 3", "step")
    assert causes(feed) == ["cause 1", "cause 2", "cause 4", "cause 3"]


def test_a_banner_is_closed_by_its_number() -> None:
    feed = Feed("e")
    notices = Notices(feed)
    notices.add("x", "one", "")
    notices.add("x", "two", "")
    notices.close(feed.section("banners")[0].id)
    assert causes(feed) == ["two"]
    notices.close(99)
    notices.clear()
    assert causes(feed) == []
