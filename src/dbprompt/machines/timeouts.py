"""How long a statement of a request may run and wait, which belongs to the roles that serve requests.

Poor: `statement_timeout = 30s` for the whole server, which stops the nightly delete, REFRESH, REINDEX and ANALYZE too.
Better: the same limit for each role that somebody waits for, and none for what works by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from dbprompt.brief import Brief
from dbprompt.sections.security import Role, Security

__all__ = ["request_timeouts", "serving"]

_SERVING = {"application", "read_only", "support", "analytics"}


def serving(security: Security) -> tuple[Role, ...]:
    """The roles that somebody waits for; jobs, migrations, backups and monitoring are none of them."""
    return tuple(role for role in security.roles if role.purpose in _SERVING)


def request_timeouts(brief: Brief | None) -> Iterator[tuple[str, int, str]]:
    """Each limit as (setting, seconds, why)."""
    longest = max((query.p95_ms or 0 for query in brief.queries), default=0) / 1000 if brief else 0
    why = f"twice the longest target of a query ({longest:g} s), 30 s at least"
    yield "statement_timeout", max(30, math.ceil(2 * longest)), why
    wait = max(5, math.ceil(20 * brief.workload.p95_write_ms / 1000)) if brief else 5
    yield "lock_timeout", wait, "20 x the target of writes, 5 s at least: a queue for a lock dissolves"
