"""Who may log in to the embedded Postgres: the platform's own role, by password, and nobody else.

The superuser has no way in. What needs it is done before the server starts, in Postgres' single-user mode: the role and
its database are made, and what an earlier version made as superuser is given to the role.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from project.embedded import write_private

from . import postgres

ROLE = "platform"
DATABASE = "micro"
FILE = "pg_hba.conf"
TIMEOUT_S = 600.0  # of each step, for a database of many namespaces after a crash

# One statement a line. What is there already is complained about, and left as it is.
_ROLE = """\
CREATE ROLE {role}
ALTER ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD '{password}'
CREATE DATABASE {database} OWNER {role}
ALTER DATABASE {database} OWNER TO {role}
"""
# Schema by schema, each in a transaction of its own: a lock is held for every table. Sequences of columns follow those.
_OWNERSHIP = """\
DO $$ DECLARE place record; thing record; BEGIN
FOR place IN SELECT oid, nspname, nspowner FROM pg_namespace
WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
IF place.nspowner = 10 THEN EXECUTE format('ALTER SCHEMA %I OWNER TO {role}', place.nspname); END IF;
FOR thing IN SELECT relname, CASE relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW'
WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END AS kind FROM pg_class
WHERE relnamespace = place.oid AND relowner = 10 AND relkind IN ('r', 'p', 'v', 'm', 'S') AND NOT EXISTS
(SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype IN ('a', 'i'))
LOOP EXECUTE format('ALTER %s %I.%I OWNER TO {role}', thing.kind, place.nspname, thing.relname); END LOOP;
COMMIT;
END LOOP; END $$
"""
_HARMLESS = ("already exists",)
SIGNS = ("ERROR:", "FATAL:", "PANIC:")


class Refused(Exception):
    """Postgres would not do it; the text is what it said."""


def close(data: Path, password: str) -> None:
    """Let nobody but the platform's role into the cluster in `data`, which does not run, and make that role the owner.

    Nothing is done where that was done with the same password. Cut short, it is done anew. Raises Refused.
    """
    rules = _rules(password)
    if (data / FILE).exists() and (data / FILE).read_text() == rules:
        return
    names = {"role": ROLE, "database": DATABASE}
    _as_superuser(data, "postgres", _ROLE.format(**names, password=password))
    _as_superuser(data, DATABASE, _OWNERSHIP.format(**names).replace("\n", " "))
    write_private(data / FILE, rules)
    if owner := postgres.account():
        os.chown(data / FILE, owner.pw_uid, owner.pw_gid)


def url(socket_dir: Path, password: str) -> str:
    """The DATABASE_URL of the platform's own role."""
    return postgres.url(socket_dir, DATABASE, role=ROLE, password=password)


def _rules(password: str) -> str:
    """The whole of pg_hba.conf. Its first line changes with the password, so that another one is noticed."""
    fingerprint = hashlib.sha256(password.encode()).hexdigest()
    return f"# micro: {fingerprint}\nlocal {DATABASE} {ROLE} scram-sha-256\n"


def _as_superuser(data: Path, database: str, statements: str) -> None:
    """Run statements, one a line, while no server runs. Raises Refused with the first complaint."""
    try:
        done = subprocess.run(
            [postgres.binary("postgres"), "--single", "-D", data, "-c", "log_min_messages=error", database],
            input=statements, capture_output=True, text=True, cwd="/", check=False, timeout=TIMEOUT_S,
            **postgres.run_as(postgres.account()),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Refused("it took too long") from None
    said = [line.strip() for line in done.stderr.splitlines() if any(sign in line for sign in SIGNS)]
    told = [line for line in said if not any(words in line for words in _HARMLESS)]
    if told or done.returncode:
        raise Refused(_without_time((told or said or [f"it ended with status {done.returncode}"])[0]))


def _without_time(line: str) -> str:
    return line[line.index(found[0]) :] if (found := [sign for sign in SIGNS if sign in line]) else line
