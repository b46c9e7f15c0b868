"""A real PostgreSQL of Debian's package on a free loopback port: tests hold both stores to one contract."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ports import free_port

USER = "postgres"  # initdb refuses to run as root


def binaries() -> Path | None:
    """Where initdb and pg_ctl are, newest first; None when the package is missing."""
    found = shutil.which("initdb")
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True) + ([Path(found).parent] if found else [])
    return next((place for place in places if (place / "initdb").exists() and (place / "pg_ctl").exists()), None)


@contextmanager
def running() -> Iterator[str]:
    """Start a server with its default durability, answer its URL, stop it at the end."""
    place = binaries()
    if place is None:
        raise RuntimeError("PostgreSQL is missing: apt-get install -y postgresql")
    with tempfile.TemporaryDirectory(prefix="frontrow-pg-", ignore_cleanup_errors=True) as folder:
        data = Path(folder) / "data"
        if os.geteuid() == 0:
            account = pwd.getpwnam(USER)
            os.chown(folder, account.pw_uid, account.pw_gid)
        port = free_port()
        _run([place / "initdb", "-D", data, "-U", USER, "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8"])
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
        log = Path(folder) / "log"
        _run([place / "pg_ctl", "-D", data, "-l", log, "-w", "-o", f"{options} -c max_connections=200", "start"])
        try:
            yield f"postgresql://{USER}@127.0.0.1:{port}/postgres"
        finally:
            _run([place / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"])


def _run(command: list[str | Path]) -> None:
    words = [str(word) for word in command]
    if os.geteuid() == 0:
        words = ["runuser", "-u", USER, "--", *words]
    # pg_ctl's server keeps our pipes open for ever: output goes to a file that nobody waits for.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(words, stdout=output, stderr=output, cwd="/", check=False)
        if done.returncode != 0:
            output.seek(0)
            raise RuntimeError(output.read().decode())
