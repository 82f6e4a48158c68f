"""relay.toml: what it may say, and what is said about mistakes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from duologue.errors import ConfigError
from duologue.protocol.codec import CLIENT_EVENT_TYPES, SERVER_EVENT_TYPES
from duologue.relay.settings import CALLER_EVENTS, UPSTREAM_EVENTS, Settings, load, parse

EXAMPLE = Path(__file__).parents[2] / "docs" / "relay.toml"


def test_nothing_is_enough() -> None:
    assert parse("") == Settings()


def test_the_example_is_valid() -> None:
    settings = parse(EXAMPLE.read_text())
    assert settings.callers.tokens[1].user == "kiosk-7"
    assert settings.callers.jwt is not None
    assert settings.session["audio"]["output"]["voice"] == "marin"
    assert settings.tools[0].function == "shop.tools:find_order"


def names(kind: Any) -> set[str]:
    """All settings, by their last names."""
    found = set()
    for field in structs.fields(kind):
        found.add(field.name)
        match re.search(r"duologue\.relay\.settings\.(\w+)", str(field.type)):
            case None:
                pass
            case inner:
                found |= names(getattr(__import__("duologue.relay.settings", fromlist=["x"]), inner[1]))
    return found


def test_the_example_names_every_setting() -> None:
    text = EXAMPLE.read_text()
    missing = {name for name in names(Settings) if not re.search(rf"(^|[#\s\[.]){name}(\s*=|\]|\.)", text)}
    assert not missing


def test_the_commented_lines_of_the_example_show_the_defaults() -> None:
    table: dict[str, Any] = {}
    for line in EXAMPLE.read_text().splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line):
            table = msgspec.to_builtins(getattr(Settings(), header[1]))
        elif line.startswith("[["):
            table = {}
        elif (shown := re.match(r"# (\w+) = (.*)", line)) and "…" not in line and shown[1] in table:
            value = tomllib.loads(f"x = {shown[2]}")["x"]
            default = table[shown[1]]
            assert (
                default is None
                or value == (list(default) if isinstance(default, tuple) else default)
                or (shown[1] in ("hosts", "origins"))
            ), line


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[upstram]\n", "relay.toml:1: there is no setting 'upstram'. Did you mean 'upstream'?"),
        ("[limits]\n\nidle = 3\n", "relay.toml:3: there is no setting 'limits.idle'. Did you mean 'idle_s'?"),
        ("x = 5", "relay.toml:1: there is no setting 'x'. Known here: listen, upstream,"),
        ("[callers.jwt]\nalgorithm = []\n", "relay.toml:2: there is no setting 'callers.jwt.algorithm'. Did you mean"),
        ("[[callers.tokens]]\nuser = 'a'\ntoken = 'b'", "relay.toml:3: there is no setting 'callers.tokens.token'"),
        ("[limits]\nevents_per_s = 'x'", "relay.toml:2: limits.events_per_s: Expected `float`, got `str`"),
        (
            "[policy]\n# …\nlocked = ['instructons']",
            "relay.toml:3: policy.locked: Invalid enum value 'instructons'. Did you mean 'instructions'?",
        ),
        (
            "[policy]\ncaller_events = ['session.updat']",
            "relay.toml:2: there is no event 'session.updat'. Did you mean",
        ),
        ("[policy]\nupstream_events_denied = ['x']", "relay.toml:2: there is no event 'x'. See docs/relay.md"),
        ("[limits]\nidle_s = 0", "relay.toml:2: limits.idle_s must be more than 0"),
        ("[listen]\nport = 70000", "relay.toml:2: listen.port must be 0 to 65535"),
        ("[upstream]\nurl = 'https://x'", "relay.toml:2: 'https://x' is no address. It begins with wss://"),
        ("[upstream]\nurl = 'wss://me:secret@x'", "relay.toml:2: the address holds a key. A key stands in"),
        ("[upstream]\nurl = 'wss://x/?api-key=y'", "relay.toml:2: the address holds a key. A key stands in"),
        ("[upstream]\nheaders = { Authorization = 'x' }", "relay.toml:2: 'Authorization' does not belong here. A key"),
        ("[recording]\nhide = ['adio']", "relay.toml:2: there is no content 'adio'. Did you mean 'audio'?"),
        ("[recording]\ndrop = ['session.id']", "relay.toml:2: there is no content 'session.id'. Kinds: audio,"),
        ("[session]\nvoice = 'ash'", "relay.toml:2: Unknown parameter: 'session.voice'."),
        ("[session]\naudio.output.speed = 'x'", "relay.toml:2: Invalid type for 'session.audio.output.speed'"),
        ("[session]\ninstructions = 'a'\ninstructions_file = 'b'", "relay.toml:3: name either instructions or"),
        ("[session]\nwhen = 2026-01-01", "relay.toml:2: Unknown parameter: 'session.when'"),
        ("[[tools]]\nfunction = 'find'", "relay.toml:2: 'find' is no function. Write it as"),
        ("[hooks]\nsession = 'a.b'", "relay.toml:2: 'a.b' is no function. Write it as"),
        ("[[callers.tokens]]\nuser = 'a'", "relay.toml:2: the token of 'a' needs either env or sha256"),
        ("[[callers.tokens]]\nuser = 'a'\nsha256 = 'AB'", "relay.toml:3: sha256 is 64 hex digits"),
        (
            "[callers.jwt]\nalgorithms = ['RS256', 'HS256']\njwks_file = 'x'",
            "relay.toml:2: name algorithms of one family",
        ),
        ("[callers.jwt]\nalgorithms = ['RS256']\nsecret_env = 'x'", "relay.toml:2: RS256 needs callers.jwt.jwks_file"),
        (
            "[callers.jwt]\nalgorithms = ['none']\nsecret_env = 'x'",
            "relay.toml:2: callers.jwt.algorithms: Invalid enum",
        ),
        ("[callers.jwt]\nalgorithms = []\nsecret_env = 'x'", "relay.toml:2: name algorithms of one family"),
        ("[callers]\norigins = ['shop.example']", "relay.toml:2: 'shop.example' is no origin. Write it as"),
        ("[callers]\norigins = ['https://shop.example/']", "relay.toml:2: 'https://shop.example/' is no origin"),
        ("a = ", "relay.toml: this is not TOML: Invalid value (at end of document)"),
        ("[limits]\nidle_s = 1\nidle_s = 2", "relay.toml: this is not TOML: Cannot overwrite a value"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_the_remedy(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert str(caught.value).startswith(told)


def test_instructions_come_from_a_file_beside_the_settings(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("Be kind. 친절하게.\n", encoding="utf-8")
    (tmp_path / "relay.toml").write_text("[session]\ninstructions_file = 'words.txt'\naudio.output.voice = 'ash'\n")
    assert load(tmp_path / "relay.toml").session == {
        "instructions": "Be kind. 친절하게.", "audio": {"output": {"voice": "ash"}}
    }  # fmt: skip
    (tmp_path / "words.txt").unlink()
    with pytest.raises(ConfigError, match=r"relay\.toml:2: instructions_file cannot be read"):
        load(tmp_path / "relay.toml")


def test_a_file_that_cannot_be_read_is_a_mistake_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.toml")
    (tmp_path / "relay.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "relay.toml")


def test_the_defaults_deny_what_is_not_needed_to_talk() -> None:
    assert set(CLIENT_EVENT_TYPES) - set(CALLER_EVENTS) == {"output_audio_buffer.clear"}
    hidden = set(SERVER_EVENT_TYPES) - set(UPSTREAM_EVENTS)
    assert {"rate_limits.updated", "mcp_list_tools.completed", "response.mcp_call_arguments.delta"} <= hidden
