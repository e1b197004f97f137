"""PgBouncer's settings, computed from the pool, and its two files.

Poor: `pool_size = 20` (no such key); `default_pool_size` alone, which counts for each pair of user and database, so
that three roles take three times what the server has; a password in the repository.
Better: known keys only, `max_db_connections` over all users, and a file of users that the operator fills from the
server.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dbprompt.brief import Brief
from dbprompt.sections.infrastructure import Infrastructure, Pool
from dbprompt.sections.security import Security

__all__ = ["KNOWN", "PLACES", "SINCE", "PoolerSetting", "pgbouncer_ini", "pgbouncer_settings", "userlist"]

SINCE = {"max_prepared_statements": (1, 21)}
"""Keys that an older PgBouncer refuses, with the first version that knows them."""

PLACES = {
    "listen_addr", "unix_socket_dir", "auth_file", "client_tls_key_file", "client_tls_cert_file", "server_tls_ca_file",
}  # fmt: skip
"""Keys whose values name places of the operator's machine."""

KNOWN = PLACES | {
    "admin_users", "application_name_add_host", "auth_dbname", "auth_hba_file", "auth_ident_file", "auth_query",
    "auth_type", "auth_user", "autodb_idle_timeout", "cancel_wait_timeout", "client_idle_timeout",
    "client_login_timeout", "client_tls_ca_file", "client_tls_ciphers", "client_tls_dheparams", "client_tls_ecdhcurve",
    "client_tls_protocols", "client_tls_sslmode", "conffile", "default_pool_size", "disable_pqexec",
    "dns_max_ttl", "dns_nxdomain_ttl", "dns_zone_check_period", "idle_transaction_timeout",
    "ignore_startup_parameters", "job_name", "listen_backlog", "listen_port", "log_connections", "log_disconnections",
    "log_pooler_errors", "log_stats", "logfile", "max_client_conn", "max_db_connections", "max_packet_size",
    "max_prepared_statements", "max_user_connections", "min_pool_size", "peer_id", "pidfile", "pkt_buf", "pool_mode",
    "query_timeout", "query_wait_timeout", "reserve_pool_size", "reserve_pool_timeout", "resolv_conf", "sbuf_loopcnt",
    "server_check_delay", "server_check_query", "server_connect_timeout", "server_fast_close", "server_idle_timeout",
    "server_lifetime", "server_login_retry", "server_reset_query", "server_reset_query_always",
    "server_round_robin", "server_tls_cert_file", "server_tls_ciphers", "server_tls_key_file", "server_tls_protocols",
    "server_tls_sslmode", "service_name", "so_reuseport", "stats_period", "stats_users", "suspend_timeout", "syslog",
    "syslog_facility", "syslog_ident", "tcp_defer_accept", "tcp_keepalive", "tcp_keepcnt", "tcp_keepidle",
    "tcp_keepintvl", "tcp_socket_buffer", "tcp_user_timeout", "track_extra_parameters", "unix_socket_group",
    "unix_socket_mode", "user", "verbose",
}  # fmt: skip
"""Keys of section [pgbouncer] in PgBouncer's documentation, `pgbouncer.ini`."""


@dataclass(frozen=True, slots=True)
class PoolerSetting:
    """One setting of section [pgbouncer], and why it has its value."""

    key: str
    value: str
    why: str


def pgbouncer_settings(
    infrastructure: Infrastructure, *, brief: Brief | None = None, security: Security | None = None
) -> tuple[PoolerSetting, ...]:
    """The settings of each PgBouncer; none if the pool is another tool's."""
    pool = infrastructure.pool
    if pool is None or pool.tool != "pgbouncer" or infrastructure.primary is None:
        return ()
    encrypted = brief is not None and "in_transit" in brief.compliance.encryption
    return (*_reached(infrastructure), *_sizes(pool), *_times(pool), *(_tls() if encrypted else ()), *_people(security))


def _reached(infrastructure: Infrastructure) -> Iterator[PoolerSetting]:
    own = bool(infrastructure.having("pooler"))
    why = "narrow it to the private network" if own else "it runs beside the application"
    yield PoolerSetting("listen_addr", "*" if own else "127.0.0.1", why)
    yield PoolerSetting("listen_port", "6432", "PgBouncer's usual port")
    yield PoolerSetting("unix_socket_dir", "/var/run/postgresql", "for the operator on the same machine")
    yield PoolerSetting("auth_type", "scram-sha-256", "as the server's password_encryption")
    yield PoolerSetting("auth_file", "/etc/pgbouncer/userlist.txt", "see userlist.txt: never in the repository")


def _sizes(pool: Pool) -> Iterator[PoolerSetting]:
    yield PoolerSetting("pool_mode", pool.mode, "as designed")
    yield PoolerSetting("default_pool_size", str(pool.pool_size), "pool_size; it counts for each user and database")
    yield PoolerSetting("min_pool_size", str(max(1, pool.pool_size // 4)), "a quarter stays open for the next peak")
    yield PoolerSetting("reserve_pool_size", str(pool.reserve_size), "reserve_size, when clients wait")
    yield PoolerSetting("reserve_pool_timeout", "3", "seconds that a client waits before the reserve opens")
    together = pool.pool_size + pool.reserve_size
    why = f"pool_size + reserve_size over all users: {pool.instances} x {together} stay below max_connections"
    yield PoolerSetting("max_db_connections", str(together), why)
    yield PoolerSetting("max_client_conn", str(pool.max_client_connections), "max_client_connections")
    if pool.mode == "session":
        yield PoolerSetting("server_reset_query", "DISCARD ALL", "nothing of a session reaches the next client")
    else:
        why = "named prepared statements of the protocol work though each transaction gets another session"
        yield PoolerSetting("max_prepared_statements", "200", why)


def _times(pool: Pool) -> Iterator[PoolerSetting]:
    yield PoolerSetting("query_wait_timeout", "30", "a client that gets no connection hears so, and does not hang")
    yield PoolerSetting("server_lifetime", "3600", "connections move to a new primary or address within an hour")
    yield PoolerSetting("server_idle_timeout", "600", "connections of a peak are given back")
    yield PoolerSetting("server_login_retry", "1", "after a failover the new primary is found within seconds")
    yield PoolerSetting("dns_max_ttl", "5", "likewise: the name points to the new primary")
    yield PoolerSetting("ignore_startup_parameters", "extra_float_digits", "JDBC sends it, and it does no harm")
    yield PoolerSetting("tcp_keepalive", "1", "dead clients are noticed")
    yield PoolerSetting("log_connections", "0", "a line for each would drown the log")
    yield PoolerSetting("log_disconnections", "0", "likewise")


def _tls() -> Iterator[PoolerSetting]:
    why = "encryption in transit, with the server's certificate checked"
    yield PoolerSetting("server_tls_sslmode", "verify-full", why)
    yield PoolerSetting("server_tls_ca_file", "/etc/pgbouncer/ca.crt", "who signed the server's certificate")
    yield PoolerSetting("client_tls_sslmode", "require", "encryption in transit")
    yield PoolerSetting("client_tls_key_file", "/etc/pgbouncer/server.key", "the pooler's own")
    yield PoolerSetting("client_tls_cert_file", "/etc/pgbouncer/server.crt", "the pooler's own")


def _people(security: Security | None) -> Iterator[PoolerSetting]:
    roles = [role.name for role in security.roles if role.purpose == "monitoring"] if security else []
    yield PoolerSetting("stats_users", ", ".join(roles) or "monitor", "who may read its statistics: monitoring")


def pgbouncer_ini(settings: tuple[PoolerSetting, ...], infrastructure: Infrastructure) -> str:
    """`pgbouncer.ini`. Comments stand on lines of their own: behind a value they would be part of it."""
    lines = [
        "; PgBouncer, written by dbprompt from design.json. Each instance has the same file.",
        "; Needs PgBouncer 1.21 or newer." if any(one.key in SINCE for one in settings) else "",
        "",
        "[databases]",
        *_databases(infrastructure),
        "",
        "[pgbouncer]",
    ]
    for one in settings:
        lines += [f"; {one.why}", f"{one.key} = {one.value}"]
    return "\n".join(line for at, line in enumerate(lines) if line or at != 1) + "\n"


def _databases(infrastructure: Infrastructure) -> Iterator[str]:
    """Every database at the primary, and each replica under its own name."""
    if (primary := infrastructure.primary) is not None:
        yield f"; The address of {primary.name}, or better the name that follows a failover."
        yield f"* = host={primary.name} port=5432"
    for node in infrastructure.having("read_replica"):
        yield f"; Reads that may be a little old: connect to {node.name}. Write your database's name for app."
        yield f"{node.name} = host={node.name} port=5432 dbname=app"


def userlist(security: Security | None) -> str:
    """`userlist.txt` without secrets: how the operator fills it, and for which roles."""
    roles = [role.name for role in security.roles if role.login] if security else []
    names = ", ".join(f"'{name}'" for name in roles) or "'app_rw', 'app_ro'"
    lines = (
        "; Users of PgBouncer. Fill it on the pooler's machine, mode 0600, never in the repository.",
        "; As superuser on the server, a line for each:",
        '; SELECT format(\'"%s" "%s"\', rolname, rolpassword) FROM pg_authid',
        f"; WHERE rolname IN ({names})",
    )
    return "\n".join(lines) + "\n"
