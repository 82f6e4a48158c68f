"""`duologue doctor`: what this machine lacks for talking, one line a gap with its remedy."""

from __future__ import annotations

import argparse
import asyncio
import logging
from pathlib import Path
from urllib.parse import urlsplit

from duologue.cli.checkup import Finding, checkup
from duologue.console.upstream import OPENAI_URL, environment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--gaps", action="store_true", help="only what is missing")


def run(options: argparse.Namespace) -> int:
    """Print the report; returns 1 where the embedded conversation cannot work."""
    # What is missing stands in the report, and only there.
    logging.getLogger("duologue").setLevel(logging.CRITICAL)
    try:
        findings = asyncio.run(_report(only_gaps=options.gaps))
    except KeyboardInterrupt:
        return 130
    gaps = [finding for finding in findings if finding.gap]
    broken = [finding for finding in gaps if finding.needed]
    if broken:
        print(f"\n{len(broken)} of {len(gaps)} gaps keep the embedded server from working.")
        return 1
    noun = "1 gap" if len(gaps) == 1 else f"{len(gaps) or 'no'} gaps"
    print(f"\n{noun}; duologue talk, console and serve work on this machine.")
    return 0


async def _report(*, only_gaps: bool) -> list[Finding]:
    key = environment(Path.cwd()).get("OPENAI_API_KEY", "")
    findings = []
    async for finding in checkup(key, urlsplit(OPENAI_URL).hostname or ""):
        findings.append(finding)
        if finding.gap or not only_gaps:
            print(line(finding), flush=True)
    return findings


def line(finding: Finding) -> str:
    """One line of the report."""
    text = f"{'gap' if finding.gap else 'ok ':<4}{finding.part:<16}{finding.says}"
    return f"{text.rstrip('.')}. {finding.remedy}" if finding.gap else text
