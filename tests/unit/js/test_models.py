"""The browser's pure modules, tested where they can run without a browser: `node --test` over *.test.js here.

Node takes a .js file for a module when a package.json says so. The repository has none (no build, nothing to install),
so both trees are copied beside one.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_pages_models_hold_their_laws(tmp_path: Path) -> None:
    node = shutil.which("node")
    assert node, "node is missing: `make test` installs it (Debian's package nodejs)"
    for part in ("static/js", "tests/unit/js"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (tmp_path / "package.json").write_text('{"type": "module"}')
    files = sorted(str(file.relative_to(tmp_path)) for file in (tmp_path / "tests").rglob("*.test.js"))
    assert len(files) >= 7, "the premise: the tests were found"
    run = subprocess.run([node, "--test", *files], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
