"""Settings of the server that follow from encryption in transit and from what its log has to hold.

They are derived, never asked for: TLS from `in_transit`, log_* and pgaudit.* from the events that are recorded by them.
What counts as slow follows from the brief's targets and stands with the other settings of the server.
"""

from __future__ import annotations

from dataclasses import dataclass

from dbprompt.sections.security import Security

__all__ = ["Setting", "access_settings"]

_LOGGED = {"data_reads": "all", "data_changes": "mod", "schema_changes": "ddl", "administration": "ddl"}
_MORE = ("ddl", "mod", "all")
_AUDITED = {"data_reads": "read", "data_changes": "write", "schema_changes": "ddl", "administration": "role"}


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of the server.

    Args:
        name: as in postgresql.conf.
        value: as in postgresql.conf, without quotes.
        why: in a few words.
        where: JSON pointers of the items in the section that ask for it.
    """

    name: str
    value: str
    why: str
    where: tuple[str, ...]


def access_settings(security: Security) -> tuple[Setting, ...]:
    """Every setting that the section asks for, each once."""
    found: list[Setting] = []
    if security.in_transit.minimum_tls != "none":
        least = f"TLSv{security.in_transit.minimum_tls}"
        found.append(
            Setting("ssl", "on", "encryption in transit; pg_hba.conf has hostssl lines only", ("/in_transit",))
        )
        found.append(Setting("ssl_min_protocol_version", least, "no older TLS", ("/in_transit",)))
    logged = [(at, event) for at, event in enumerate(security.audit) if event.means == "server_log"]
    if statements := [(at, _LOGGED[event.event]) for at, event in logged if event.event in _LOGGED]:
        most = max((word for _, word in statements), key=_MORE.index)
        found.append(Setting("log_statement", most, "statements of these kinds are logged", _places(statements)))
    for at, event in logged:
        where = (f"/audit/{at}",)
        if event.event == "logins":
            found.append(Setting("log_connections", "on", "who came", where))
            found.append(Setting("log_disconnections", "on", "and left", where))
    audited = [
        (at, _AUDITED[event.event])
        for at, event in enumerate(security.audit)
        if event.means == "pgaudit" and event.event in _AUDITED
    ]
    if audited:
        classes = ", ".join(dict.fromkeys(word for _, word in audited))
        found.append(Setting("shared_preload_libraries", "pgaudit", "the extension pgaudit", _places(audited)))
        found.append(Setting("pgaudit.log", classes, "classes of statements that it records", _places(audited)))
    return tuple(found)


def _places(items: list[tuple[int, str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f"/audit/{at}" for at, _ in items))
