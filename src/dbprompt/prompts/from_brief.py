"""A brief in the words of a prompt's variables. Figures come from `dbprompt.capacity`, never from a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dbprompt.brief import AttributeRole, Brief, Entity, QueryKind, QueryNeed, Relationship
from dbprompt.capacity import Capacity, EntityCapacity, capacity_of
from dbprompt.prompts.variables import Variable

__all__ = ["brief_variables", "fill_from_brief"]

_ENGINE_FREE = "free"
_WRITES = frozenset({QueryKind.INSERT, QueryKind.UPDATE, QueryKind.DELETE})
_KIND = {
    "many_to_one": "each {child} belongs to one {parent}",
    "one_to_one": "each {child} belongs to one {parent}, and a {parent} has at most one {child}",
    "many_to_many": "{child} and {parent} are many to many",
}
_ON_DELETE = {
    "restrict": "restrict",
    "cascade": "cascade",
    "set_null": "set null",
    "keep": "rows stay and keep the value",
}
_ROLE_WORDS = {AttributeRole.ID: "id", AttributeRole.REF: "reference", AttributeRole.KEY: "business key"}


def fill_from_brief(variables: Iterable[Variable], brief: Brief, capacity: Capacity | None = None) -> dict[str, object]:
    """The values of a brief for just these variables; what the brief does not say is left out."""
    names = {variable.name for variable in variables}
    return {name: value for name, value in brief_variables(brief, capacity).items() if name in names}


def brief_variables(brief: Brief, capacity: Capacity | None = None) -> Mapping[str, object]:
    """Every variable that a brief can fill, under the names of both source prompts and ours."""
    figures = capacity or capacity_of(brief)
    filled = {
        **_application(brief),
        **_volumes(brief, figures),
        **_workload(brief),
        **_operation(brief),
        "QUERIES": [_query(query) for query in brief.queries],
        "ACCESS_PATTERNS": [_access_pattern(query) for query in brief.queries],
    }
    return {name: value for name, value in filled.items() if value not in (None, "", [], ())}


def _application(brief: Brief) -> dict[str, object]:
    roles = {attribute.role for entity in brief.entities for attribute in entity.attributes}
    free = brief.target.free_choice or brief.target.primary == _ENGINE_FREE
    version = brief.target.version
    return {
        "APPLICATION_NAME": brief.app_name,
        "DESCRIBE_APPLICATION": brief.description,
        "LIST_MAIN_ENTITIES": [entity.name for entity in brief.entities],
        "DESCRIBE_RELATIONSHIPS": [_relationship(relationship) for relationship in brief.relationships],
        "DATA_TYPE": ", ".join(entity.name for entity in brief.entities),
        "TENANCY": "multi-tenant" if AttributeRole.TENANT in roles else "single-tenant",
        "TARGET_ENGINE": _ENGINE_FREE if free else brief.target.primary,
        "TARGET_VERSION": version if version != "n/a" and not free else "",
        "SUPPORTING_STORES": list(brief.target.supporting),
    }


def _relationship(relationship: Relationship) -> str:
    told = _KIND[relationship.kind].format(child=relationship.from_, parent=relationship.to)
    needed = "optional" if relationship.optional else "required"
    return f"{told} ({needed}; when the {relationship.to} is deleted: {_ON_DELETE[relationship.on_parent_delete]})"


def _volumes(brief: Brief, capacity: Capacity) -> dict[str, object]:
    details = [_entity(entity, capacity.of(entity.name)) for entity in brief.entities]
    now = _gigabytes(capacity.size_now_gb)
    return {
        "EXPECTED_RECORDS": sum(entity.rows_now for entity in capacity.entities),
        "RECORDS_PER_DAY": _per_day(sum(entity.rows_per_day for entity in capacity.entities)),
        "DATA_VOLUME": now,
        "CURRENT_DATA_SIZE": now,
        "GROWTH_RATE": f"{_figures(capacity.growth_gb_per_month)} GB/month",
        "PROJECTION_3Y": _gigabytes(capacity.projected_3y_gb),
        "ENTITY_DETAILS": details,
        "RECORDS_BY_ENTITY": details,
    }


def _entity(entity: Entity, figures: EntityCapacity | None) -> dict[str, object]:
    attributes = [f"{a.name} ({_ROLE_WORDS.get(a.role, a.role)})" for a in entity.attributes]
    return {
        "name": entity.name,
        "records": entity.rows_now,
        "records_per_day": _per_day(entity.rows_per_day),
        "bytes_each": f"{entity.avg_row_bytes} B",
        "kept_for": f"{entity.retention_days} days" if entity.retention_days else None,
        "size_3y": _gigabytes(figures.bytes_3y / 1e9) if figures else None,
        "attributes": attributes,
    }


def _workload(brief: Brief) -> dict[str, object]:
    load = brief.workload
    return {
        "RATIO": load.read_write_ratio,
        "QUERY_PATTERN": load.pattern.replace("_", "-"),
        "MILLISECONDS": f"{load.p95_read_ms:g} ms",
        "LATENCY_REQUIREMENT": f"{load.p95_read_ms:g} ms",
        "WRITE_LATENCY": f"{load.p95_write_ms:g} ms",
        "NUMBER": load.concurrent_users,
        "USER_COUNT": load.concurrent_users,
        "TPS": load.reads_per_s_peak + load.writes_per_s_peak,
        "READS_PER_SECOND": load.reads_per_s_peak,
        "WRITES_PER_SECOND": load.writes_per_s_peak,
    }


def _operation(brief: Brief) -> dict[str, object]:
    life, up, limits, rules = brief.lifecycle, brief.availability, brief.constraints, brief.compliance
    kept = [f"{e.name} {e.retention_days} days" for e in brief.entities if e.retention_days]
    return {
        "HOT_DAYS": life.hot_days or None,
        "HOT_QUERY_SHARE": life.hot_query_pct if life.hot_days else None,
        "RETENTION_PERIOD": " ".join(filter(None, [life.archive, f"Kept for: {', '.join(kept)}." if kept else ""])),
        "DEPLOYMENT": limits.deployment,
        "BUDGET_USD_MONTH": limits.budget_usd_month,
        "UPTIME": up.uptime_pct,
        "RPO": f"{up.rpo_s:g} s",
        "RTO": f"{up.rto_s:g} s",
        "NOTES": list(limits.notes),
        "COMPLIANCE": list(rules.regimes),
        "DATA_RESIDENCY": list(rules.residency),
        "ENCRYPTION": [item.replace("_", " ") for item in rules.encryption],
        "AUDIT_LOGGING": rules.audit,
        "ACCESS_CONTROL": rules.access_control.replace("_", " "),
    }


def _query(query: QueryNeed) -> dict[str, object]:
    return {
        "id": query.id,
        "text": query.text,
        "kind": query.kind.replace("_", " "),
        "entity": query.entity,
        "equals": list(query.eq),
        "range": list(query.range),
        "sort": list(query.sort),
        "limit": query.limit or None,
        "frequency": _frequency(query),
        "latency": f"{query.p95_ms:g} ms" if query.p95_ms else None,
        "freshness": f"{query.freshness_s:g} s" if query.freshness_s else None,
    }


def _access_pattern(query: QueryNeed) -> dict[str, object]:
    """A row of the table Query Type, Frequency, Latency SLA, Data Freshness."""
    kind = (
        "write" if query.kind in _WRITES else "read analytics" if query.kind is QueryKind.AGGREGATE else "read primary"
    )
    return {
        "query_type": f"{kind}: {query.id}",
        "frequency": _frequency(query),
        "latency": f"{query.p95_ms:g} ms" if query.p95_ms else None,
        "freshness": f"{query.freshness_s:g} s" if query.freshness_s else None,
    }


def _frequency(query: QueryNeed) -> str | None:
    if query.per_s:
        return f"{query.per_s:g}/s"
    return _per_day(query.per_day) if query.per_day else None


def _per_day(number: float) -> str:
    return f"{_figures(number, 9)}/day"


def _gigabytes(size: float) -> str:
    return f"{_figures(size)} GB"


def _figures(number: float, figures: int = 3) -> str:
    """Rounded to so many figures, written without an exponent."""
    return f"{float(f'{number:.{figures}g}'):.9f}".rstrip("0").rstrip(".") if number else "0"
