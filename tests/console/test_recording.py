from __future__ import annotations

from pathlib import Path

from duologue.console.recording import new_trace
from duologue.console.upstream import Upstream, parse_upstream
from duologue.inspector.trace import read_header


def test_each_call_has_a_file_that_tells_who_answered_but_no_key(tmp_path: Path) -> None:
    first = new_trace(tmp_path, Upstream())
    second = new_trace(tmp_path, parse_upstream("wss://relay.example/v1/realtime?key=secret&model=m"))
    first.close()
    second.close()
    assert first.path != second.path
    assert read_header(first.path)["upstream"] == "embedded"
    header = read_header(second.path)
    assert (header["upstream"], header["model"]) == ("wss://relay.example/v1/realtime", "m")
    assert "secret" not in second.path.read_text()
