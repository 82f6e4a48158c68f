"""duologue.relay.setup and duologue.relay.lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from duologue.errors import ConfigError
from duologue.relay.lines import sendable, short
from duologue.relay.settings import Settings, Upstream
from duologue.relay.setup import prepare


def test_the_key_comes_from_the_environment_or_a_file_and_is_in_no_repr(tmp_path: Path) -> None:
    setup = prepare(Settings(), env={"OPENAI_API_KEY": "sk-of-the-relay"})
    assert setup.headers["Authorization"] == "Bearer sk-of-the-relay"
    assert "sk-of-the-relay" not in repr(setup)
    (tmp_path / "key").write_text("sk-in-a-file\n")
    settings = Settings(upstream=Upstream(key_file="key", key_header="api-key"))
    assert prepare(settings, env={}, folder=tmp_path).headers["api-key"] == "sk-in-a-file"
    with pytest.raises(ConfigError, match="key_file"):
        prepare(settings, env={}, folder=tmp_path / "elsewhere")


def test_an_address_names_a_model_or_a_call() -> None:
    setup = prepare(Settings(upstream=Upstream(url="wss://a.example/v1/realtime?x=1")), env={})
    assert setup.address(model="m") == "wss://a.example/v1/realtime?x=1&model=m"
    assert prepare(Settings(upstream=Upstream(url="ws://a")), env={}).address() == "ws://a/v1/realtime"
    assert prepare(Settings(upstream=Upstream(url="ws://a/")), env={}).address() == "ws://a/"
    assert setup.address(call_id="rtc_1") == "wss://a.example/v1/realtime?x=1&call_id=rtc_1"


def test_what_a_close_frame_may_carry() -> None:
    assert sendable(4000)
    assert not sendable(1006)
    assert len(short("ü" * 100).encode()) <= 123


def test_the_ledger_lies_beside_the_settings(tmp_path: Path) -> None:
    (tmp_path / "relay.toml").write_text('[ledger]\npath = "spent.sqlite3"\n')
    assert prepare(tmp_path / "relay.toml", env={}).ledger == tmp_path / "spent.sqlite3"
    (tmp_path / "relay.toml").write_text('[ledger]\npath = "/var/spent.sqlite3"\n')
    assert prepare(tmp_path / "relay.toml", env={}).ledger == Path("/var/spent.sqlite3")


@pytest.mark.parametrize(("text", "told"), [
    ("[callers]\n\nsecret_env = 'GONE'", "relay.toml:3: callers.secret_env: the environment variable GONE is not set."),
    ("[callers.jwt]\nalgorithms = ['RS256']\njwks_file = 'gone'", "relay.toml:3: callers.jwt.jwks_file: gone holds no"),
    ("[hooks]\nsession = 'nowhere:at_all'", "relay.toml:2: hooks.session: nowhere:at_all cannot be found"),
    ("[[tools]]\nfunction = 'os:nothing'", "relay.toml:2: tools.function: os:nothing cannot be found"),
    ("[limits]\nprices_file = 'gone'", "relay.toml:2: limits.prices_file: gone cannot be used"),
    ("[upstream]\nkey_file = 'gone'", "relay.toml:2: upstream.key_file: the key cannot be read"),
    ("[upstream]\nkey_env = 'ODD'", "relay.toml:2: upstream.key_env: the upstream's key holds characters"),
    ("a = ", "relay.toml: this is not TOML"),
])  # fmt: skip
def test_what_is_found_wrong_after_the_file_was_read_is_told_with_its_line_too(
    tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "relay.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        prepare(tmp_path / "relay.toml", env={"ODD": "a key"})
    assert str(caught.value).startswith(f"{tmp_path}/{told}")


def test_settings_that_come_from_no_file_are_checked_too() -> None:
    with pytest.raises(ConfigError, match=r"^upstream.url: 'ws://\[x' is no address"):
        prepare(Settings(upstream=Upstream(url="ws://[x")), env={})
