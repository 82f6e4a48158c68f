from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from duologue.client.payloads import ClientError
from duologue.client.reconnect import GiveUp, Leave, Look, Reconnect, ReconnectPolicy, Retry
from duologue.errors import ConnectFailed, TransportClosed

DROP = TransportClosed(1006)
REFUSED = ConnectFailed("ws://h", "nothing listens there", retryable=True)


def machine(policy: ReconnectPolicy | None = ReconnectPolicy(), jitter: float = 1.0) -> Reconnect:  # noqa: B008
    made = Reconnect(policy, lambda: jitter)
    made.opened(0)
    return made


def test_the_waits_double_up_to_a_bound_and_the_story_ends() -> None:
    made = machine(ReconnectPolicy(first_delay_ms=100, longest_delay_ms=500, give_up_ms=2_000))
    now, waits = 20_000, []
    step = made.closed(DROP, None, now)
    while isinstance(step, Retry):
        waits.append(step.delay_ms)
        now += step.delay_ms
        step = made.failed(REFUSED, None, now)
    assert waits == [100, 200, 400, 500, 500, 300]
    assert isinstance(step, GiveUp)
    assert step.cause is not None
    assert step.cause.grade == "retry"
    assert made.state == "over"


def test_jitter_spreads_from_half_to_whole() -> None:
    for jitter, delay in ((0.0, 125), (0.5, 187), (1.0, 250)):
        step = machine(jitter=jitter).closed(DROP, None, 50)
        assert step == Retry(delay_ms=delay, attempt=1, cause=str(DROP))


def test_what_no_retry_can_help_ends_with_its_cause() -> None:
    wrong_key = ClientError(message="Incorrect API key", grade="fatal", code="invalid_api_key")
    for code in (1000, 1002, 1008, 3000, 4000):
        assert machine().closed(TransportClosed(code), wrong_key, 5) == GiveUp(
            closed=TransportClosed(code), cause=wrong_key
        ) or isinstance(machine().closed(TransportClosed(code), wrong_key, 5), GiveUp)
    assert isinstance(machine().closed(DROP, wrong_key, 5), GiveUp)
    assert isinstance(machine(None).closed(DROP, None, 5), GiveUp)
    assert isinstance(machine().closed(TransportClosed(1001, by="us"), None, 5), GiveUp)
    made = machine()
    made.closed(DROP, None, 5)
    step = made.failed(ConnectFailed("ws://h", "refused", status=401, body="no"), None, 10)
    assert isinstance(step, GiveUp)
    assert step.cause is not None
    assert (step.cause.grade, step.closed.code) == ("fatal", 1006)


def test_an_expired_session_is_followed_by_a_new_one_whatever_the_code() -> None:
    expired = ClientError(message="60 minutes", grade="retry", code="session_expired")
    assert isinstance(machine().closed(TransportClosed(1000), expired, 5), Retry)


def test_the_next_pause_before_the_end_is_used() -> None:
    made = machine(ReconnectPolicy(rollover_ms=60_000))
    assert made.expires(3_600_000, 0) == [Look(delay_ms=3_540_000)]
    assert made.tick(10, calm=True) == [Look(delay_ms=3_539_990)]
    assert made.tick(3_540_000, calm=False) == [Look(delay_ms=250)]
    assert made.tick(3_540_250, calm=True) == [Leave()]
    step = made.closed(TransportClosed(1000, by="us"), None, 3_540_260)
    assert step == Retry(delay_ms=0, attempt=1, cause="the session nears its end", planned=True)


def test_without_a_pause_the_last_moment_is_used() -> None:
    made = machine()
    assert made.expires(3_000, 0) == [Look(delay_ms=1_500)]
    assert made.tick(2_600, calm=False) == [Look(delay_ms=25)]
    assert made.tick(2_625, calm=False) == [Leave()]


def test_connections_that_drop_at_once_count_as_one_failure() -> None:
    made = machine(ReconnectPolicy(first_delay_ms=100, give_up_ms=1_000, steady_ms=500))
    now, delays = 600, []
    step = made.closed(DROP, None, now)
    while isinstance(step, Retry):
        delays.append(step.delay_ms)
        now += step.delay_ms
        made.opened(now)
        now += 10
        step = made.closed(DROP, None, now)
    assert delays[:3] == [100, 200, 400]
    assert isinstance(step, GiveUp)
    steady = machine()
    steady.closed(DROP, None, 5)
    steady.opened(300)
    again = steady.closed(DROP, None, 60_000)
    assert isinstance(again, Retry)
    assert again.attempt == 1


happenings = st.lists(
    st.tuples(
        st.sampled_from(["opened", "closed", "failed", "tick", "expires", "left"]),
        st.integers(0, 30_000),
        st.sampled_from([1000, 1001, 1006, 1011, 3000, 4000]),
        st.booleans(),
    ),
    max_size=60,
)


@given(happenings)
def test_any_story_keeps_the_rules(story: list[tuple[str, int, int, bool]]) -> None:
    made = Reconnect(ReconnectPolicy(), lambda: 0.5)
    now = 0
    for what, passed, code, flag in story:
        now += passed
        over = made.state == "over"
        step: object = None
        match what:
            case "opened" if made.state in ("idle", "retrying"):
                made.opened(now)
            case "closed":
                step = made.closed(TransportClosed(code, by="us" if flag else "peer"), None, now)
            case "failed":
                step = made.failed(REFUSED if flag else TransportClosed(code), None, now)
            case "tick":
                for each in made.tick(now, flag):
                    assert made.state in ("up", "leaving")
                    assert not isinstance(each, Look) or each.delay_ms > 0
            case "expires":
                made.expires(passed, now)
            case "left":
                made.left()
        assert (made.state == "retrying") >= isinstance(step, Retry)
        assert (made.state == "over") >= isinstance(step, GiveUp)
        if over:
            assert step is None
            assert made.state == "over"
        if isinstance(step, Retry):
            assert 0 <= step.delay_ms <= ReconnectPolicy().longest_delay_ms
