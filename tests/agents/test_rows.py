"""What hurts users of realtime agents, as it is told in the issues of other SDKs, and the tests that hold the answer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
ROWS = {
    1: ("an answer is under way when another is asked for", [
        "agents/test_pains.py::test_text_sent_in_the_middle_of_an_answer_is_answered_after_it",
        "dialogue/test_sequencer.py::test_a_wish_that_lost_the_race_is_sent_after_the_other_response",
        "dialogue/test_sequencer.py::test_against_a_server_with_races_every_wish_is_answered_at_last",
    ]),
    2: ("a button that does not stop", [
        "agents/test_scenarios.py::test_interrupt_while_generating",
        "agents/test_wire.py::test_a_call_of_others_is_silenced_at_the_server_and_carries_no_sound",
    ]),
    3: ("speech goes on when all of it was made", ["agents/test_scenarios.py::test_interrupt_after_generating"]),
    4: ("speech is cut at the wrong place or not at all", [
        "agents/test_scenarios.py::test_barge_in",
        "agents/test_pains.py::test_what_was_heard_goes_by_the_clock_where_nobody_tells_and_by_the_tracker_where_there_is_one",
        "agents/test_tracker.py::test_nothing_is_heard_that_did_not_come_or_before_it_came",
        "dialogue/test_playback.py::test_cuts_are_whole_ms_within_the_received_sound_and_queue_order",
    ]),
    5: ("a handoff resets the format of the sound", [
        "agents/test_scenarios.py::test_handoff",
        "agents/test_config.py::test_changes_are_enough_and_no_more",
    ]),
    6: ("a voice is sent when it cannot change any more", [
        "agents/test_pains.py::test_a_voice_is_not_sent_again_once_something_was_said",
        "agents/test_pains.py::test_a_voice_that_cannot_change_is_told",
    ]),
    7: ("a short answer, or the end of one, is never checked", [
        "agents/test_scenarios.py::test_output_guardrail",
        "agents/test_scenarios.py::test_held_audio",
    ]),
    8: ("checks that loop, and remarks that people see", [
        "agents/test_scenarios.py::test_output_guardrail_that_never_passes",
    ]),
    9: ("nothing checks what the user says", ["agents/test_scenarios.py::test_input_guardrail"]),
    10: ("a slow tool is silence, or stops everything", [
        "agents/test_pains.py::test_plain_tools_run_in_threads_beside_the_stream_and_read_the_history",
        "agents/test_pains.py::test_a_filler_is_said_while_a_tool_runs",
        "agents/test_pains.py::test_a_background_tool_is_announced_at_once_and_its_result_is_news",
    ]),
    11: ("parallel calls are answered twice", ["agents/test_scenarios.py::test_parallel_tools"]),
    12: ("a tool that does not exist leaves silence", ["agents/test_scenarios.py::test_unknown_tool"]),
    13: ("a session ends after an hour, or when the network does", [
        "agents/test_scenarios.py::test_reconnect",
        "client/test_reconnect.py::test_the_next_pause_before_the_end_is_used",
    ]),
    14: ("a new connection doubles listeners and forgets", ["agents/test_scenarios.py::test_reconnect"]),
    15: ("a session does not know that the call has ended", [
        "agents/test_pains.py::test_a_session_says_when_and_why_it_ended",
        "agents/test_pains.py::test_a_refused_reconnection_is_an_unclean_end",
        "agents/test_answering.py::test_a_browsers_call_is_answered_by_an_agent_of_ours",
    ]),
    16: ("a history cannot be given or restored", [
        "agents/test_pains.py::test_history_is_seeded_saved_and_taken_up_again",
        "agents/test_scenarios.py::test_history_edit",
    ]),
    17: ("a history out of order, and words that nobody is told", [
        "agents/test_pains.py::test_both_sides_are_told_word_by_word",
    ]),
    18: ("context cannot be given without a reply", ["agents/test_pains.py::test_context_is_given_without_a_reply"]),
    19: ("an agent cannot speak first", [
        "agents/test_scenarios.py::test_greet",
        "agents/test_pains.py::test_more_instructions_come_on_top",
    ]),
    20: ("nothing can be turned off", [
        "agents/test_pains.py::test_none_turns_a_setting_off",
        "agents/test_config.py::test_whatever_may_be_off_can_be_turned_off_and_left_alone",
    ]),
    21: ("a telephone that stutters", [
        "agents/test_familiar.py::test_a_call_of_twilios_is_a_transport",
        "transports/test_phone_line.py::test_an_interruption_silences_and_what_was_heard_is_known",
    ]),
    22: ("a call that is thought lost, or is lost unnoticed", [
        "transports/test_webrtc.py::test_a_peer_that_falls_silent_may_come_back_and_is_given_up_after_that",
        "agents/test_scenarios.py::test_reconnect",
    ]),
    23: ("no WebRTC in Python", [
        "agents/test_scenarios.py::test_tool",
        "agents/test_answering.py::test_a_browsers_call_is_answered_by_an_agent_of_ours",
    ]),
    24: ("telephone calls that the application has to handle by hand", [
        "transports/test_sip.py::test_a_call_is_announced_accepted_referred_and_ended",
        "agents/test_goodbye.py::test_a_call_of_others_is_ended_at_the_provider",
        "agents/test_goodbye.py::test_a_model_hangs_up_and_its_last_words_are_heard",
    ]),
    25: ("nobody knows what it costs and where the time goes", [
        "agents/test_pains.py::test_usage_is_told_for_each_agent",
        "agents/test_tracing.py::test_a_session_is_traced_from_its_beginning_to_its_end",
        "agents/test_otel.py::test_a_session_becomes_one_trace_of_open_telemetry",
        "client/test_meter.py::test_a_budget_is_spent_at_its_figure_and_needs_a_price",
    ]),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_a_pain_has_its_tests(row: int) -> None:
    _, tests = ROWS[row]
    assert tests
    for test in tests:
        path, _, name = test.partition("::")
        assert re.search(rf"^def {name}\(", (TESTS / path).read_text(), re.MULTILINE), test


def test_all_rows_are_there() -> None:
    assert list(ROWS) == list(range(1, 26))
