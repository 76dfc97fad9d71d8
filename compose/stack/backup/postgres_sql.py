"""Questions to PostgreSQL: what a database holds, as counts and hashes. Every column comes back as text."""

from __future__ import annotations

HASH = "sum over rows of hashtextextended(ROW(columns by name)::text, 0), UTC, ISO dates"
"""What a table's `hash` is; independent of the order of rows and columns."""

HASH_LIMIT = 64 * 1024 * 1024

SETTINGS = """
SET TimeZone='UTC'; SET DateStyle='ISO, YMD'; SET IntervalStyle='postgres'; SET extra_float_digits=1;
SET bytea_output='hex'; SET lc_monetary='C'; SET xmloption='content'; SET search_path=pg_catalog;
SET row_security=off; SET max_parallel_workers_per_gather=0; SET statement_timeout=0; SET lock_timeout=60000;
SET idle_in_transaction_session_timeout=0; SET standard_conforming_strings=on
"""
"""What makes the text of a row depend on the row alone."""

BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
EXPORT = "SELECT pg_export_snapshot()"

PLACES = """
SELECT current_setting('data_directory'), current_setting('log_directory'), current_setting('logging_collector')
"""
TABLESPACES = """
SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE pg_tablespace_location(oid) <> ''
"""

CONNECTIONS = """
SELECT current_setting('max_connections'),
       (SELECT count(*) FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid())::text
"""
"""How many sessions the server has room for, and how many others there are."""
BESIDE = 4
"""Sessions that a backup needs for its work, beside one for each snapshot."""

DATABASES = """
SELECT datname, (datallowconn AND NOT datistemplate AND datconnlimit <> -2)::text,
       pg_database_size(oid)::text
FROM pg_database WHERE datname NOT IN ('template0', 'template1') ORDER BY datname
"""
"""Every database: name, whether it is saved, bytes."""

FACTS = """
SELECT current_setting('server_version'), pg_encoding_to_char(encoding), datcollate, datctype,
       coalesce(to_jsonb(d)->>'datlocprovider', 'c'), pg_database_size(d.oid)::text,
       pg_get_userbyid(datdba)
FROM pg_database d WHERE datname = current_database()
"""

EXTENSIONS = "SELECT extname, extversion FROM pg_extension ORDER BY extname"

SEQUENCES = """
SELECT quote_ident(schemaname) || '.' || quote_ident(sequencename), coalesce(last_value::text, '')
FROM pg_sequences WHERE schemaname !~ '^pg_' ORDER BY 1
"""

TABLES = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relkind::text,
       coalesce(pg_table_size(c.oid), 0)::text,
       coalesce((SELECT string_agg('t.' || quote_ident(a.attname), ', ' ORDER BY a.attname)
                 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'f') AND c.relpersistence <> 't'
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT 1 FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1
"""
"""Name, kind, bytes and columns of every table that a dump holds: those of extensions are the extensions'."""

LARGE_OBJECTS = """
SELECT (SELECT count(*) FROM pg_largeobject_metadata)::text, pg_total_relation_size('pg_largeobject')::text
"""

LARGE_OBJECTS_HASH = """
SELECT coalesce(sum(hashtextextended(oid::text || ':' || encode(lo_get(oid), 'hex'), 0)::numeric), 0)::text
FROM pg_largeobject_metadata
"""


def import_snapshot(snapshot: str) -> str:
    """Make a transaction see what another one exported."""
    return f"SET TRANSACTION SNAPSHOT {literal(snapshot)}"


def count(table: str) -> str:
    """How many rows a table has; the name as PostgreSQL quotes it."""
    return f"SELECT count(*)::text, '' FROM ONLY {table} t"


def count_and_hash(table: str, columns: str) -> str:
    """Rows and content of a table, in one pass.

    Args:
        columns: As TABLES gives them.
    """
    row = f"hashtextextended(ROW({columns})::text, 0)::numeric"
    return f"SELECT count(*)::text, coalesce(sum({row}), 0)::text FROM ONLY {table} t"


def literal(text: str) -> str:
    """A text as SQL writes it (standard_conforming_strings on)."""
    return "'" + text.replace("'", "''") + "'"
