"""The backup and restore scripts, written by us from typed fields: bash, no secrets, no free text.

A script knows the plans that a database server can carry out by itself, with pg_dump and pg_basebackup; those of a
managed service or of pgBackRest, WAL-G and Barman are configured there, and described in `ops/backup.md`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from dbprompt.render.background import Background
from dbprompt.render.metrics import BACKUP_METRIC
from dbprompt.sections import DatabaseDesign
from dbprompt.sections.backup import Backup, BackupPlan

__all__ = ["SCRIPTED_TOOLS", "backup_files", "backup_script", "restore_script"]

SCRIPTED_TOOLS = ("pg_dump", "pg_basebackup")


def backup_files(design: DatabaseDesign, background: Background) -> Mapping[str, str]:
    """`ops/backup.sh` and `ops/restore.sh`; none if no plan needs them."""
    if design.backup is None or not _scripted(design.backup):
        return {}
    return {"ops/backup.sh": backup_script(design.backup), "ops/restore.sh": restore_script(design.backup)}


def _scripted(backup: Backup) -> tuple[BackupPlan, ...]:
    return tuple(plan for plan in backup.plans if plan.tool in SCRIPTED_TOOLS)


def backup_script(backup: Backup) -> str:
    """The script that makes one backup of a plan, keeps it, and removes what is older than the plan keeps."""
    plans = "\n".join(_case(plan) for plan in _scripted(backup))
    return _BACKUP.replace("@PLANS@", plans).replace("@METRIC@", BACKUP_METRIC)


def restore_script(backup: Backup) -> str:
    """The script that restores one dump into an empty database, or unpacks a base backup into an empty directory."""
    return _RESTORE if any(plan.tool == "pg_basebackup" for plan in _scripted(backup)) else _without_base(_RESTORE)


def _without_base(script: str) -> str:
    before, _, rest = script.partition("# begin base\n")
    return before + rest.partition("# end base\n")[2]


def _case(plan: BackupPlan) -> str:
    """A plan's branch. Names match [a-z0-9_] and regions [A-Za-z0-9_-]; they are quoted all the same."""
    kind = "dump" if plan.tool == "pg_dump" else "base"
    values = {
        "kind": kind,
        "keep_days": str(plan.keep_days),
        "region": plan.region,
        "ships": "no" if plan.storage == "local" else "yes",
        "encrypted": "yes" if plan.encrypted else "no",
    }
    settings = "; ".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
    return f"    {shlex.quote(plan.name)}) {settings} ;;"


_BACKUP = r"""#!/usr/bin/env bash
# Makes one backup: backup.sh PLAN. Written by dbprompt from design.json.
#
# Where the database is, and who asks, comes from libpq's own settings and never stands here or on the command line:
# PGSERVICE with ~/.pg_service.conf and ~/.pgpass, or PGHOST, PGPORT, PGUSER, PGDATABASE.
#
#   BACKUP_DIRECTORY    where backups are kept on this machine
#   BACKUP_UPLOAD       program that copies a backup away: called with its path and the plan's region
#   BACKUP_ENCRYPT      program that encrypts standard input to standard output, for a public key: no secret here
#   BACKUP_AT_REST=storage   says that the storage encrypts by itself, so that BACKUP_ENCRYPT is not needed
#   TEXTFILE_DIRECTORY  directory of node_exporter's textfile collector; left out: nothing is reported
set -euo pipefail
umask 077

die() {
    printf 'backup.sh: %s\n' "$1" >&2
    exit 1
}

[[ $# -eq 1 ]] || die "usage: backup.sh PLAN"
plan=$1
kind='' keep_days='' region='' ships='' encrypted=''
case $plan in
@PLANS@
    *) die "no such plan: $plan" ;;
esac

directory=${BACKUP_DIRECTORY:?name the directory that backups are kept in}
[[ -d $directory ]] || die "no such directory: $directory"
if [[ $encrypted == yes && -z ${BACKUP_ENCRYPT:-} && ${BACKUP_AT_REST:-} != storage ]]; then
    die "plan $plan is encrypted: set BACKUP_ENCRYPT, or BACKUP_AT_REST=storage"
fi
if [[ $ships == yes && -z ${BACKUP_UPLOAD:-} ]]; then
    die "plan $plan is kept in region $region: set BACKUP_UPLOAD"
fi

# One at a time: the lock is held by this process and goes with it.
exec 9>"$directory/.$plan.lock"
flock --nonblock 9 || die "plan $plan is running already"

stamp=$(date -u +%Y%m%dT%H%M%SZ)
name=$plan-$stamp
work=$(mktemp -d "$directory/.$name.XXXXXX")
trap 'rm -rf -- "$work"' EXIT

case $kind in
    dump)
        file=$name.dump
        pg_dump --format=custom --compress=6 --no-password --lock-wait-timeout=60s --file="$work/$file"
        pg_restore --list "$work/$file" >"$work/list"   # a dump that cannot be read is none
        grep -q 'TABLE DATA' "$work/list" || die "the dump holds no table"
        rm -- "$work/list"
        ;;
    base)
        file=$name.tar
        mkdir -- "$work/base"
        pg_basebackup --pgdata="$work/base" --format=plain --wal-method=stream --checkpoint=fast --no-password
        pg_verifybackup --quiet "$work/base"
        tar --create --directory="$work/base" --file="$work/$file" .
        rm -rf -- "$work/base"
        ;;
    *) die "no such kind: $kind" ;;
esac

if [[ -n ${BACKUP_ENCRYPT:-} ]]; then
    "$BACKUP_ENCRYPT" <"$work/$file" >"$work/$file.encrypted"
    rm -- "$work/$file"
    file=$file.encrypted
fi
(cd -- "$work" && sha256sum -- "$file" >"$file.sha256")

# The checksum first: a backup without one is never restored, so half a backup is none.
mv -- "$work/$file.sha256" "$directory/$file.sha256"
mv -- "$work/$file" "$directory/$file"
if [[ $ships == yes ]]; then
    "$BACKUP_UPLOAD" "$directory/$file" "$region"
    "$BACKUP_UPLOAD" "$directory/$file.sha256" "$region"
fi

# Only after a new backup is there: what is older than the plan keeps, on this machine.
find "$directory" -maxdepth 1 -type f -name "$plan-*" -mtime "+$keep_days" -delete

if [[ -n ${TEXTFILE_DIRECTORY:-} ]]; then
    printf '@METRIC@{plan="%s"} %s\n' "$plan" "$(date +%s)" >"$work/metric"
    chmod 644 -- "$work/metric"
    mv -- "$work/metric" "$TEXTFILE_DIRECTORY/dbprompt_backup_$plan.prom"
fi
printf '%s\n' "$directory/$file"
"""

_RESTORE = r"""#!/usr/bin/env bash
# Restores one backup that backup.sh made: restore.sh FILE. Written by dbprompt from design.json.
#
# A dump goes into the database that libpq's settings name (PGSERVICE, or PGHOST, PGUSER, PGDATABASE), which has to be
# empty: make it with createdb, and make the roles first. Nothing is ever dropped or overwritten here.
#
#   RESTORE_DECRYPT    program that decrypts standard input to standard output, for *.encrypted
#   RESTORE_JOBS       tables that are restored side by side; 4 if left out
#   RESTORE_RIGHTS=no  leaves grants out, for a server that does not have the roles
#   RESTORE_DIRECTORY  for a base backup: the empty data directory that it is unpacked into
set -euo pipefail
umask 077

die() {
    printf 'restore.sh: %s\n' "$1" >&2
    exit 1
}

[[ $# -eq 1 ]] || die "usage: restore.sh FILE"
file=$1
[[ -f $file ]] || die "no such file: $file"
[[ -f $file.sha256 ]] || die "no checksum beside it: $file.sha256"
(cd -- "$(dirname -- "$file")" && sha256sum --check --status -- "$(basename -- "$file").sha256") ||
    die "the checksum does not match: $file is damaged"

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
source=$file
if [[ $file == *.encrypted ]]; then
    "${RESTORE_DECRYPT:?name the program that decrypts it}" <"$file" >"$work/plain"
    source=$work/plain
fi

case ${file%.encrypted} in
    *.dump)
        : "${PGDATABASE:?name the empty database}"
        taken=$(psql --no-psqlrc --no-password --tuples-only --no-align --command="
            SELECT count(*) FROM pg_catalog.pg_class c
            WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND c.relnamespace NOT IN (
                SELECT oid FROM pg_catalog.pg_namespace
                WHERE nspname LIKE 'pg\\_%' OR nspname = 'information_schema')
              AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')")
        [[ $taken == 0 ]] || die "database $PGDATABASE is not empty"
        options=(--exit-on-error --no-owner --no-password "--jobs=${RESTORE_JOBS:-4}" "--dbname=$PGDATABASE")
        if [[ ${RESTORE_RIGHTS:-} == no ]]; then
            options+=(--no-privileges)
        fi
        pg_restore "${options[@]}" "$source"
        psql --no-psqlrc --no-password --quiet --command='ANALYZE'
        ;;
# begin base
    *.tar)
        data=${RESTORE_DIRECTORY:?name the empty data directory}
        mkdir -p -- "$data"
        [[ -z $(ls -A -- "$data") ]] || die "$data is not empty"
        tar --extract --directory="$data" --file="$source"
        pg_verifybackup --quiet "$data"
        printf 'set restore_command, make recovery.signal in %s for a point in time, then start the server\n' "$data"
        ;;
# end base
    *) die "neither a dump nor a base backup: $file" ;;
esac
printf 'restored %s\n' "$file"
"""
