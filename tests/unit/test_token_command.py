"""`frontrow token` on a real folder."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from live import cli
from live.commands.start import Stop
from live.desk.wiring import services
from live.errors import Invalid
from live.settings import Settings


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_url: str):
    monkeypatch.setenv("FRONTROW_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return lambda *words: CliRunner().invoke(cli.app, list(words))


def test_a_token_is_printed_once_listed_by_its_first_characters_and_revoked(run) -> None:
    run("brand", "add", "maison")
    run("show", "add", "spring")
    made = run("token", "add", "till", "--scope", "stock:write", "--scope", "orders:read")
    assert made.exit_code == 0, made.output
    secret = made.stdout.split("\n")[0]
    assert secret.startswith("fr_")
    bot = run("token", "add", "bot", "--scope", "room:moderate", "--show", "spring", "--days", "3")
    assert bot.exit_code == 0, bot.output
    listed = run("token", "list").output
    assert secret[:9] in listed
    assert secret not in listed
    assert "never used" in listed
    assert "stock:write" in listed
    assert "opens nothing any more" in run("token", "revoke", secret[:9]).output
    assert [line.split()[2] for line in run("token", "list").output.splitlines()] == ["bot", "till"]
    assert "revoked" in run("token", "list").output


def test_what_can_not_be_is_said(run) -> None:
    run("brand", "add", "maison")
    run("show", "add", "spring")
    assert "No token yet" in run("token", "list").output
    assert isinstance(run("token", "add", "till", "--scope", "everything").exception, Invalid)
    assert isinstance(run("token", "add", "x", "--scope", "stock:write", "--show", "spring").exception, Invalid)
    assert isinstance(run("token", "revoke", "fr_nothing").exception, Stop)


@pytest.mark.parametrize("kept", [False, True])
def test_the_tokens_of_one_who_is_removed_end_unless_they_are_kept_and_are_named(
    run, tmp_path: Path, redis_url: str, kept: bool
) -> None:
    run("brand", "add", "maison")
    run("staff", "add", "ada@example.org")
    run("staff", "add", "ben@example.org")

    async def make() -> None:
        async with services(Settings(data_dir=tmp_path, redis_url=redis_url, _env_file=None)) as s:  # type: ignore[call-arg]
            ada = await s.staff.by_email("ada@example.org")
            assert ada is not None
            (grant,) = await s.staff.grants(ada.id)
            await s.tokens.make("till", ["stock:write"], by=ada.id, brand_id=grant.brand_id)

    asyncio.run(make())
    assert "till" not in run("staff", "remove", "ben@example.org").output, "those of others are not touched"
    said = run("staff", "remove", "ada@example.org", *(["--keep-tokens"] if kept else [])).output
    assert "till: stock:write" in said
    assert ("still work" in said, "are revoked" in said) == (kept, not kept)
    assert ("never used" in run("token", "list").output) == kept
    # Ben's dismissal, Ada's, and what became of her token.
    assert "house: 3 acts, whole." in run("audit", "verify").output
