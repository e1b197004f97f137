"""The files of infrastructure and growth: topology, server settings, pooler, chapters."""

from __future__ import annotations

import configparser
import re
from datetime import date

from design_cases import Plain, subject

from dbprompt.machines.postgres_settings import ServerSetting
from dbprompt.render.background import Background
from dbprompt.render.infrastructure import infrastructure_chapter, infrastructure_files
from dbprompt.render.pgbouncer import KNOWN, userlist
from dbprompt.render.postgres.settings import settings_conf
from dbprompt.render.scaling import scaling_chapter
from dbprompt.render.topology import topology
from dbprompt.sections import DatabaseDesign


def _about(section: str = "infrastructure") -> Background:
    of = subject(section)
    return Background(of.brief, of.capacity, "", "", (), date(2026, 1, 15), 15)


def _files(change: dict[str, Plain] | None = None) -> dict[str, str]:
    return dict(infrastructure_files(subject("infrastructure", change or {}).design, _about()))


def test_the_files_of_a_design() -> None:
    """Each stands in its place, and a design without machines has none."""
    assert set(_files()) == {"ops/topology.mmd", "ops/postgresql.conf", "ops/pgbouncer.ini", "ops/userlist.txt"}
    assert set(_files({"pool": None})) == {"ops/topology.mmd", "ops/postgresql.conf"}
    assert infrastructure_files(DatabaseDesign(), _about()) == {}
    mysql = subject("infrastructure", {"/selection/decision/engine": "mysql"}).design
    assert set(infrastructure_files(mysql, _about())) == {"ops/topology.mmd"}


def test_the_topology_shows_every_node_and_arrow() -> None:
    """Nodes stand in their zones, replication and statements are arrows, and nothing else is there."""
    drawn = _files()["ops/topology.mmd"]
    assert drawn.startswith("flowchart LR\n")
    for name in ("db_primary", "db_standby", "db_replica"):
        assert drawn.count(f'node_{name}[("{name}<br/>') == 1
    assert 'node_db_primary ==>|"synchronous<br/>takes over in 90 s"| node_db_standby' in drawn
    assert 'node_db_primary -.->|"asynchronous"| node_db_replica' in drawn
    assert "pool -->|reads and writes| node_db_primary" in drawn and "pool -->|reads| node_db_replica" in drawn
    assert drawn.count("subgraph") == drawn.count("\n        end") + drawn.count("\n    end") == 4


def test_pooler_nodes_are_drawn_in_their_zones() -> None:
    """Poolers with nodes of their own replace the one beside the application."""
    pooler = {"name": "pool_a", "role": "pooler", "region": "eu-central-1", "zone": "a", "tier": "small"}
    drawn = _files({"nodes/+": pooler})["ops/topology.mmd"]
    assert "application --> node_pool_a" in drawn and "pool{{" not in drawn
    section = subject("infrastructure").design.infrastructure
    assert section is not None and topology(section) == _files()["ops/topology.mmd"]


def test_a_reason_cannot_leave_its_comment() -> None:
    """A value of another kind is quoted, and a line break in a reason starts no setting."""
    hostile = ServerSetting("archive_command", "cp %p '/x'\nfsync = off", "why\nfsync = off", "", "replication")
    lines = settings_conf((hostile,), version=18).splitlines()
    assert lines[-1] == "archive_command = 'cp %p ''/x'' fsync = off'  # why fsync = off"


def test_what_the_service_sets_is_a_comment() -> None:
    """On a managed service the settings that it makes itself are there to read, and not set."""
    managed = _files()["ops/postgresql.conf"]
    own = _files({"deployment": "self_hosted_cloud"})["ops/postgresql.conf"]
    assert "# set by the service: wal_level = replica" in managed and "\nwal_level" not in managed
    assert "\nwal_level = replica" in own
    assert all(re.match(r"^(#.*|\w+(\.\w+)? = \S.*  # \S.*|)$", line) for line in own.splitlines())


def test_the_pooler_has_known_keys_and_no_secret() -> None:
    """The file is what an ini parser reads, with sizes from the design, and the list of users holds no password."""
    parsed = configparser.ConfigParser(comment_prefixes=(";",), inline_comment_prefixes=None, interpolation=None)
    parsed.read_string(_files()["ops/pgbouncer.ini"])
    keys = dict(parsed["pgbouncer"])
    assert set(keys) <= KNOWN
    assert (keys["pool_mode"], keys["default_pool_size"], keys["max_db_connections"]) == ("transaction", "60", "65")
    replica = {"db_replica": "host=db_replica port=5432 dbname=app"}
    assert dict(parsed["databases"]) == {"*": "host=db_primary port=5432", **replica}
    assert all(line.startswith(";") for line in userlist(None).splitlines())


def test_the_chapters_show_the_sums() -> None:
    """Cost, downtime, connections and phases are there as sums that can be checked by hand."""
    shown = "\n\n".join(infrastructure_chapter(subject("infrastructure").design, _about()))
    assert shown.startswith("## Infrastructure")
    assert "nodes 4,050 + Poolers and backup storage 320 = **4,370 USD a month** of a budget of 9,000" in shown
    assert "1 - 438 s / 31,536,000 s = 99.999 %" in shown
    assert "130 + 20, rounded up to tens = **150**" in shown
    assert "134.7 GB raw x 2.5" in shown and "337 GB" in shown
    growth = "\n\n".join(scaling_chapter(subject("scaling").design, _about()))
    assert "Today **256,861,000 records**: phase today." in growth
    assert re.search(r"In three years \*\*\d{3},\d{3},\d{3} records\*\*: phase three years\.", growth)


def test_hostile_words_stay_words() -> None:
    """Free text of both sections is escaped in the chapters and reaches no file."""
    words = "<script>|`x`[a](b)\n# y"
    change: dict[str, Plain] = {"reason": words, "pool/reason": words, "other_costs/0": {"name": words}}
    of = subject("infrastructure", change)
    shown = "\n\n".join(infrastructure_chapter(of.design, _about()))
    assert "<script>" not in shown and "\n# y" not in shown and "&lt;script&gt;\\|" in shown
    assert all("script" not in text for text in infrastructure_files(of.design, _about()).values())
    grown = subject("scaling", {"phases/0": {"name": words, "changes": [words]}, "sharding/reason": words})
    shown = "\n\n".join(scaling_chapter(grown.design, _about("scaling")))
    assert "<script>" not in shown and "\n# y" not in shown
