"""A PostgreSQL server of its own for a test, from Debian's packages, in a temporary folder and on localhost only."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path


def binaries() -> Path | None:
    """The folder with ``initdb`` and ``pg_ctl``: the newest of Debian's, or where ``PATH`` has them."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda one: int(one.parts[-3]))
    found = debian[-1] if debian else shutil.which("initdb")
    return Path(found).resolve().parent if found else None


class Server:
    """The server.

    Args:
        folder: For its data; it is made.
        programs: See ``binaries``.
    """

    def __init__(self, folder: Path, programs: Path) -> None:
        self._data, self._programs = folder / "data", programs
        # PostgreSQL refuses to run as root.
        self._user = "postgres" if os.geteuid() == 0 else None
        folder.mkdir(mode=0o755)
        if self._user:
            shutil.chown(folder, self._user)
            for parent in folder.parents:
                if parent.stat().st_uid == os.geteuid() and len(parent.parts) > 2:
                    parent.chmod(parent.stat().st_mode | 0o011)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._run(
            "initdb",
            "--pgdata",
            str(self._data),
            "--username",
            "tuner",
            "--auth",
            "trust",
            "--encoding",
            "UTF8",
            "--no-sync",
        )

    @property
    def url(self) -> str:
        """For ``--storage``."""
        return f"postgresql+psycopg://tuner@127.0.0.1:{self._port}/postgres"

    def _run(self, name: str, *arguments: str, allowed: int = 0) -> int:
        done = subprocess.run(
            [str(self._programs / name), *arguments],
            user=self._user,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
            # Nothing of root's own.
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        )
        assert done.returncode in {0, allowed}, done.stderr
        return done.returncode

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        log = str(self._data / "server.log")
        self._run("pg_ctl", "start", "--pgdata", str(self._data), "--wait", "--log", log, "--options", options)

    def stop(self) -> None:
        """Stop it at once, if it runs: connections are dropped."""
        self._run("pg_ctl", "stop", "--pgdata", str(self._data), "--mode", "immediate", "--wait", allowed=1)
        # 3 says that none runs.
        assert self._run("pg_ctl", "status", "--pgdata", str(self._data), allowed=3) == 3
