"""The arrows that imports may follow, what a pure module must not know, and that the migrations are one chain."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from live.store import migrate

ROOT = Path(__file__).parent.parent

# Rules and protocol leaves: no store, no server, no media stack behind them, so that they are tested alone.
PURE = [
    "chat/envelope.py",
    "chat/message.py",
    "chat/room.py",
    "chat/outbox.py",
    "chat/kinds.py",
    "chat/moderation/kinds.py",
    "chat/moderation/rules.py",
    "live/money.py",
    "live/clock.py",
    "live/ids.py",
    "live/errors.py",
    "live/events.py",
    "live/stage/show.py",
    "live/stage/runsheet.py",
    "live/accounts/roles.py",
    "live/shop/pricing.py",
    "live/shop/feeds.py",
    "live/play/polls.py",
    "live/play/quizzes.py",
    "live/play/draws.py",
    "live/play/rain.py",
    "live/relay/rtcp.py",
    "live/relay/viewer.py",
]
STACKS = {"redis", "starlette", "aiortc", "sqlalchemy", "uvicorn", "httpx", "av"}


def imported_by(path: Path) -> set[str]:
    """The top-level names that the file at `path` imports, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module)
    return found


def roots(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def test_imports_point_the_way_the_design_says() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 broken" in run.stdout


@pytest.mark.parametrize("name", PURE)
def test_a_pure_module_imports_no_stack(name: str) -> None:
    path = ROOT / name
    assert path.is_file(), f"{name} is named pure but is not there"
    assert not roots(imported_by(path)) & STACKS


def test_only_the_relay_imports_aiortc() -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for folder in ("live", "chat")
        for path in (ROOT / folder).rglob("*.py")
        if roots(imported_by(path)) & {"aiortc", "aioice", "pylibsrtp"}
    }
    assert users, "the premise: somebody imports aiortc"
    assert all(user.startswith("live/relay/") for user in users), users


def test_private_names_of_aiortc_are_kept_in_one_file() -> None:
    for path in (ROOT / "live/relay").glob("*.py"):
        if path.name == "peer.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in (
                "aiortc",
                "aioice",
                "pylibsrtp",
            ):
                private = [alias.name for alias in node.names if alias.name.startswith("_")]
                assert not private, f"{path.name} imports {private}: only peer.py may"


def test_a_file_above_400_lines_says_why() -> None:
    for folder in ("live", "chat"):
        for path in (ROOT / folder).rglob("*.py"):
            if "migrations" in path.parts:
                continue
            text = path.read_text()
            if text.count("\n") > 400:
                doc = ast.get_docstring(ast.parse(text)) or ""
                assert "one file" in doc.lower(), f"{path.relative_to(ROOT)}: say in its docstring why it is one file"


def test_every_test_file_has_a_name_of_its_own() -> None:
    """pytest imports them by their bare names: two of one name stop the whole run, and neither when run alone."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))


def test_changes_of_the_schema_have_a_number_each_and_follow_one_another() -> None:
    numbers = [path.name[1:5] for path in (migrate.MIGRATIONS / "versions").glob("v*.py")]
    assert len(numbers) == len(set(numbers))
    assert migrate.head() == max(numbers)
