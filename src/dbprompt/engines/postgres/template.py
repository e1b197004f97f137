"""The template: a data directory made once per version and cached, so that a server starts in a tenth of a second.

It holds the settings, and one template database with the rights that no sandbox may have.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dbprompt.engines.postgres.account import Account, cache_directory, runtime_base
from dbprompt.engines.postgres.binaries import Installation
from dbprompt.engines.postgres.programs import environment, reachable
from dbprompt.errors import EngineError

__all__ = ["ADMIN", "PARENT", "copy_to", "discard"]

ADMIN = "dbprompt_admin"
PARENT = "dbprompt_template"

_SETTINGS = """
# dbprompt: a server for data that is thrown away. Nobody reaches it but through its unix socket.
listen_addresses = ''
unix_socket_permissions = 0700
fsync = off
full_page_writes = off
synchronous_commit = off
wal_level = minimal
max_wal_senders = 0
max_wal_size = 64MB
shared_buffers = 16MB
huge_pages = off
dynamic_shared_memory_type = mmap
max_connections = 60
max_worker_processes = 0
max_locks_per_transaction = 256
max_prepared_transactions = 0
autovacuum = off
jit = off
temp_file_limit = 64MB
maintenance_work_mem = 32MB
log_min_messages = fatal
log_min_error_statement = panic
timezone = 'UTC'
lc_messages = 'C'
"""
_SETTINGS_SINCE = {18: "io_method = sync\n"}
# A role may connect to the database of its own name and to no other.
_ACCESS = f"local all {ADMIN} trust\nlocal sameuser all trust\n"
# In a single-user session each line is one statement. Signals to other backends are not a sandbox's business.
# Scripts name the role `postgres` as every installation has it; here it has no rights.
_PREPARATION = f"CREATE DATABASE {PARENT} IS_TEMPLATE true\nCREATE ROLE postgres NOLOGIN\n"
_PREPARATION_INSIDE = """\
REVOKE EXECUTE ON FUNCTION pg_catalog.pg_terminate_backend(integer, bigint) FROM PUBLIC
REVOKE EXECUTE ON FUNCTION pg_catalog.pg_cancel_backend(integer) FROM PUBLIC
VACUUM FREEZE ANALYZE
"""
_WARM_UP = "SELECT 1\n"  # leaves a relation cache file behind, which every copy of the database then starts from


def copy_to(target: Path, installation: Installation, account: Account) -> None:
    """Puts a fresh data directory at `target`, building the template first if need be."""
    with _locked(installation, account) as template:
        if not template.is_dir():
            _build(template, installation, account)
        copied = subprocess.run(["cp", "-a", str(template), str(target)], capture_output=True, text=True, check=False)
    if copied.returncode:
        raise EngineError(f"The PostgreSQL template could not be copied to {target}: {copied.stderr.strip()}")


def discard(installation: Installation, account: Account) -> None:
    """Forgets the template, so that the next server builds it anew."""
    with _locked(installation, account) as template:
        shutil.rmtree(template, ignore_errors=True)


@contextmanager
def _locked(installation: Installation, account: Account) -> Iterator[Path]:
    """The template's place in the cache, held against other processes."""
    recipe = "\n".join((_settings(installation.major), _ACCESS, _PREPARATION, _PREPARATION_INSIDE, account.name))
    origin = f"{installation.bindir.resolve()}\n{recipe}"
    home = cache_directory() / "postgres"
    home.mkdir(exist_ok=True, mode=0o700)
    key = hashlib.sha256(origin.encode()).hexdigest()[:12]
    with (home / f"{installation.version}-{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield home / f"{installation.version}-{key}"


def _settings(major: int) -> str:
    return _SETTINGS + "".join(text for since, text in _SETTINGS_SINCE.items() if major >= since)


def _build(template: Path, installation: Installation, account: Account) -> None:
    """Makes the template where the server's account can write, then moves it into the cache in one step."""
    staging = Path(tempfile.mkdtemp(prefix="dbprompt-initdb-", dir=runtime_base(account)))
    arriving = template.with_name(f"{template.name}.{os.getpid()}")
    try:
        account.take(staging)
        data = staging / "data"
        bindir = reachable(installation, account)
        _call(account, [str(bindir / "initdb"), "-D", str(data), "-U", ADMIN, *_INITDB_OPTIONS])
        with (data / "postgresql.conf").open("a") as settings:
            settings.write(_settings(installation.major))
        (data / "pg_hba.conf").write_text(_ACCESS)
        for database, script in (("postgres", _PREPARATION), (PARENT, _PREPARATION_INSIDE), (PARENT, _WARM_UP)):
            _call(account, [str(bindir / "postgres"), "--single", "-D", str(data), database], script)
        shutil.rmtree(arriving, ignore_errors=True)
        _call(None, ["cp", "-a", str(data), str(arriving)])
        arriving.rename(template)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        shutil.rmtree(arriving, ignore_errors=True)


_INITDB_OPTIONS = (
    "--auth=trust", "--encoding=UTF8", "--locale=C", "--wal-segsize=1", "--no-sync", "--no-instructions",
)  # fmt: skip


def _call(account: Account | None, command: list[str], text: str = "") -> None:
    """Runs one program as the account, and raises what it complained about."""
    user, group = (account.uid, account.gid) if account is not None and not account.is_us else (None, None)
    done = subprocess.run(
        command, input=text, env=environment(), cwd="/", user=user, group=group,
        extra_groups=None if user is None else [],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if done.returncode or "ERROR:" in done.stderr or "FATAL:" in done.stderr:
        raise EngineError(f"Preparing PostgreSQL failed: {Path(command[0]).name} said: {done.stderr.strip()[-800:]}")
