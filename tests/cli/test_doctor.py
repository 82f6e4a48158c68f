"""`duologue doctor` as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from duologue.cli.checkup import Finding
from duologue.cli.doctor import line


def doctor(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "duologue.cli.main", "doctor", *arguments]
    env = {**os.environ, "OPENAI_API_KEY": "", **environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=100, env=env, cwd=folder, check=False)


def test_a_machine_that_can_talk(tmp_path: Path) -> None:
    report = doctor(tmp_path)
    assert report.returncode == 0, report
    lines = {text[4:20].strip(): text for text in report.stdout.splitlines()}
    assert "heard “what time is it”" in lines["voice and ears"]
    assert lines["OpenAI key"].startswith("gap")
    assert "into .env" in lines["OpenAI key"]
    assert "duologue talk, console and serve work" in report.stdout


def test_a_key_is_found_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OPENAI_API_KEY=sk-very-secret\n")
    report = doctor(tmp_path, OPENAI_API_KEY="sk-very-secret")
    assert "ok  OpenAI key      found" in report.stdout
    assert "sk-very-secret" not in report.stdout + report.stderr


def test_only_gaps_and_a_machine_that_cannot(tmp_path: Path) -> None:
    """A package that cannot be imported stands for one that is not installed."""
    (tmp_path / "numpy.py").write_text("raise ImportError('no such package')\n")
    report = doctor(tmp_path, "--gaps", PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    assert report.stderr == "", "what is missing stands in the report"
    assert report.returncode == 1, report
    assert "ok  " not in report.stdout
    assert "gap speech detector" in report.stdout
    assert "pip install 'duologue[server]'" in report.stdout
    assert "keep the embedded server from working" in report.stdout


def test_a_gap_is_one_line_with_its_remedy() -> None:
    finding = Finding(part="microphone", says="none.", remedy="Plug one in")
    assert line(finding) == "gap microphone      none. Plug one in"
