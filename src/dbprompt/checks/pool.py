"""The connection pool fits the server, the load, and the statements that go through it.

Poor: 20 instances of 500 server connections before a machine of 16 GB; a pooler in transaction mode before row policies
that read a setting of the session: the next client gets the tenant of the one before.
Better: as many server connections as the CPUs can use, more client connections than statements are under way at the
peak, and `SET LOCAL` in each transaction.
"""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.brief import Brief
from dbprompt.checks.base_design import error, judged, listing, rules, warning
from dbprompt.checks.base_trees import HOW_TO_GET, Broken, Node, expression, find, function_name, grammar, statements
from dbprompt.checks.subject import Subject
from dbprompt.evidence import Finding, Report, Status
from dbprompt.machines.connections import busy_at_peak, connections_of
from dbprompt.machines.memory import memory_of
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.infrastructure import Infrastructure, Pool

__all__ = ["pool"]

_MB_A_CONNECTION = 9.5
_MOST_CONNECTIONS = 5_000
"""Amazon RDS allows memory / 9,531,392 bytes connections, and 5,000 at most; a process takes about as much anywhere."""
_MANY_USERS = 500
_UNCOVERED = "that the pooler starts with these sizes, and settings that functions read"
_OF_SESSION = {"pg_advisory_lock", "pg_advisory_lock_shared", "pg_try_advisory_lock", "pg_try_advisory_lock_shared"}


def pool(subject: Subject) -> Report:
    """The pool of the section `infrastructure`."""
    section = subject.design.infrastructure
    if subject.section != "infrastructure" or section is None:
        return Report()
    if section.pool is None:
        return Report((*_missing(subject.brief), *_unbounded(section)))
    findings = [*_fit(section, section.pool), *_sessions(subject.design, section.pool)]
    findings += _roles(subject.design, section.pool)
    if subject.brief is not None:
        findings += _load(section.pool, subject.brief)
    unread = f"; whether policies or queries need their session ({HOW_TO_GET})"
    uncovered = _UNCOVERED if section.pool.mode == "session" or grammar() else _UNCOVERED + unread
    report = judged(subject, findings, checker=rules("pool"), uncovered=uncovered)
    own = tuple(v for v in report.verdicts if v.where == "/pool" or v.status is Status.FAILED)
    return Report(report.findings, own)


def _missing(brief: Brief | None) -> Iterator[Finding]:
    if brief is not None and brief.workload.concurrent_users > _MANY_USERS:
        message = (
            f"{brief.workload.concurrent_users:,} users work at the same time and there is no pool; a connection of "
            "PostgreSQL is a process: put a pooler, or a bounded pool of the application, before it"
        )
        yield error("pool.missing", "/pool", message)


def _unbounded(section: Infrastructure) -> Iterator[Finding]:
    """Without a pool nothing keeps the application below PostgreSQL's default number of connections."""
    primary = section.primary
    tier = section.tier(primary.tier) if primary else None
    memory = memory_of(tier, connections_of(None)) if tier else None
    if primary is not None and memory is not None and not memory.fits:
        message = (
            f"{memory.connections} connections with work_mem {memory.work_mb} MB come to {memory.most_mb:,} MB with "
            f"shared_buffers and upkeep, and {primary.name} has {memory.total_mb:,} MB; put a pool before it"
        )
        yield warning("pool.memory_exceeded", f"/nodes/{section.nodes.index(primary)}/tier", message)


def _fit(section: Infrastructure, pool: Pool) -> Iterator[Finding]:
    primary = section.primary
    tier = section.tier(primary.tier) if primary else None
    places = connections_of(pool)
    if tier is not None:
        most = min(_MOST_CONNECTIONS, int(tier.memory_gb * 1024 / _MB_A_CONNECTION))
        memory = memory_of(tier, places)
        if places.maximum > most:
            message = (
                f"the pool needs max_connections = {places.maximum} ({places.formula}), and {tier.name} with "
                f"{tier.memory_gb} GB carries {most}; lower pool_size or instances"
            )
            yield error("pool.too_many_connections", "/pool", message)
        elif not memory.fits:
            message = (
                f"{places.maximum} connections with the least work_mem of {memory.work_mb} MB, shared_buffers and "
                f"upkeep come to {memory.most_mb:,} MB, and {tier.name} has {memory.total_mb:,} MB; lower pool_size"
            )
            yield error("pool.memory_exceeded", "/pool", message)
    poolers = section.having("pooler")
    if poolers and pool.tool == "pgbouncer" and len(poolers) != pool.instances:
        message = (
            f"{len(poolers)} nodes are poolers ({listing(n.name for n in poolers)}), and instances is {pool.instances}"
        )
        yield error("pool.instances_differ", "/pool/instances", f"{message}; write the same number")
    if poolers and pool.tool != "pgbouncer":
        message = f"node {poolers[0].name} is a pooler, and the tool is {pool.tool}, which has no node of its own"
        yield error("pool.instances_differ", "/pool/tool", message)
    if pool.tool == "application" and pool.instances != pool.application_servers:
        message = (
            f"the pool is the application's own, so it has one instance a server: {pool.application_servers}, "
            f"not {pool.instances}"
        )
        yield error("pool.instances_differ", "/pool/instances", message)
    if pool.tool == "rds_proxy" and section.deployment == "on_premise":
        yield error("pool.no_such_service", "/pool/tool", "rds_proxy is a service of AWS, and deployment is on_premise")
    if pool.client_connections < pool.application_servers:
        message = (
            f"{pool.application_servers} application servers share {pool.client_connections} client connections; each "
            "needs one at least"
        )
        yield error("pool.clients_refused", "/pool/max_client_connections", message)


def _load(pool: Pool, brief: Brief) -> Iterator[Finding]:
    """Little's law: statements under way are their rate x their time."""
    busy, load = busy_at_peak(brief.workload), brief.workload
    peak = f"{load.reads_per_s_peak:,g} reads/s and {load.writes_per_s_peak:,g} writes/s"
    if pool.client_connections < busy.most:
        message = (
            f"{peak} within their targets are up to {busy.most} statements at once, and clients have "
            f"{pool.client_connections} connections; raise max_client_connections"
        )
        yield error("pool.clients_refused", "/pool/max_client_connections", message)
    servers = pool.instances * pool.pool_size
    if servers < busy.mean:
        message = (
            f"{peak} with a third of their target as mean time keep {busy.mean} server connections busy, and the pool "
            f"has {servers} (instances x pool_size); clients will wait"
        )
        yield warning("pool.too_small", "/pool/pool_size", message)


def _roles(design: DatabaseDesign, pool: Pool) -> Iterator[Finding]:
    """The application's role may open as many connections as the pool does for it."""
    for at, role in enumerate(design.security.roles if design.security else ()):
        limit, opened = role.connection_limit, pool.server_connections
        if role.purpose == "application" and limit is not None and limit < opened:
            message = (
                f"the pool opens up to {opened} connections for {role.name} (instances x (pool_size + reserve_size)), "
                f"which may have {limit} (/security/roles/{at}/connection_limit); make the two agree"
            )
            yield error("pool.role_limit", "/pool/pool_size", message)


def _sessions(design: DatabaseDesign, pool: Pool) -> Iterator[Finding]:
    """What belongs to a session, behind a pooler that gives each transaction another one."""
    if pool.mode == "session" or not grammar():
        return
    for name, setting in _settings_read(design):
        if pool.session_settings != "per_transaction":
            message = (
                f"{name} reads the setting {setting}, and the pool in {pool.mode} mode hands a session to the next "
                f"client after each transaction, with session_settings {pool.session_settings}; set it with SET LOCAL "
                "in each transaction (per_transaction), or use mode session"
            )
            yield error("pool.setting_leaks", "/pool/session_settings", message)
            break
    for query in design.queries.queries if design.queries else ():
        for text in filter(None, (query.sql, query.next_page_sql)):
            if used := _of_session(text):
                message = (
                    f"query {query.id} uses {used}, which lives as long as its session, and the pool is in {pool.mode} "
                    "mode; use pg_advisory_xact_lock or a setting of the transaction, or mode session"
                )
                yield error("pool.session_feature", "/pool/mode", message)
    if pool.mode == "statement" and pool.session_settings == "per_transaction":
        message = "in statement mode there are no transactions of several statements, so nothing can be SET LOCAL"
        yield error("pool.setting_leaks", "/pool/mode", f"{message}; use mode transaction")


def _settings_read(design: DatabaseDesign) -> Iterator[tuple[str, str]]:
    """Row policies that read a custom setting, each with the setting."""
    for at, policy in enumerate(design.security.policies if design.security else ()):
        for text in filter(None, (policy.using, policy.check)):
            tree = expression(text)
            for call in () if isinstance(tree, Broken) else find(tree, "FuncCall"):
                if function_name(call) == "current_setting":
                    named = call.nodes("args")[0].node("sval")
                    setting = named.text("sval") if named else "that it names"
                    yield f"row policy {policy.name} (/security/policies/{at})", setting


def _of_session(sql: str) -> str:
    """What of a statement outlives its transaction; empty if nothing does."""
    trees = statements(sql)
    for tree in () if isinstance(trees, Broken) else trees:
        for call in find(tree, "FuncCall"):
            name = function_name(call)
            if name in _OF_SESSION:
                return name
            if name == "set_config" and not _is_true(call.nodes("args")[-1]):
                return "set_config for the session"
    return ""


def _is_true(node: Node) -> bool:
    """Whether a node is the constant `true`."""
    constant = node.node("boolval")
    return constant is not None and constant.has("boolval")
