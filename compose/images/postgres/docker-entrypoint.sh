#!/usr/bin/env bash
# Starts PostgreSQL; the first time it makes the cluster, the user and the database.
# It takes the variables of the official image. The server listens on the network
# only after everything in /docker-entrypoint-initdb.d has run.
set -euo pipefail

# This build would put its socket in /tmp; the official one has it here.
readonly SOCKET=(-c unix_socket_directories=/var/run/postgresql)

# from_file NAME [DEFAULT]: NAME itself, or the contents of the file that NAME_FILE names.
from_file() {
    local name=$1 file="${1}_FILE" value="${2:-}"
    if [ -n "${!name:-}" ] && [ -n "${!file:-}" ]; then
        echo "postgres: $name and $file are both set. Next: set one of them." >&2
        exit 1
    fi
    if [ -n "${!name:-}" ]; then value=${!name}; elif [ -n "${!file:-}" ]; then value=$(<"${!file}"); fi
    printf -v "$name" '%s' "$value"
    export "${name?}"
    unset "$file"
}

make_cluster() {
    if [ -z "$POSTGRES_PASSWORD" ] && [ "${POSTGRES_HOST_AUTH_METHOD:-}" != trust ]; then
        echo 'postgres: POSTGRES_PASSWORD is not set. Next: set it, or POSTGRES_PASSWORD_FILE.' >&2
        exit 1
    fi
    # shellcheck disable=SC2086 # the official image splits these arguments at spaces, too
    initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") ${POSTGRES_INITDB_ARGS:-}
    printf '\nhost all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >>"$PGDATA/pg_hba.conf"
}

# sql ARGUMENTS...: psql as the superuser, over the socket.
sql() {
    PGPASSWORD="$POSTGRES_PASSWORD" psql -v ON_ERROR_STOP=1 --no-password --no-psqlrc --username "$POSTGRES_USER" "$@"
}

make_database() {
    local found
    found=$(sql --dbname postgres -v db="$POSTGRES_DB" --tuples-only --no-align \
        <<<"SELECT 1 FROM pg_database WHERE datname = :'db'")
    [ -n "$found" ] || sql --dbname postgres -v db="$POSTGRES_DB" <<<'CREATE DATABASE :"db"'
}

run_init_files() {
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        case "$file" in
            *.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
            *.sql) sql --dbname "$POSTGRES_DB" -f "$file" ;;
            *.sql.gz) gunzip -c "$file" | sql --dbname "$POSTGRES_DB" ;;
            *.sql.xz) xzcat "$file" | sql --dbname "$POSTGRES_DB" ;;
            *) if [ -e "$file" ]; then echo "postgres: ignoring $file"; fi ;;
        esac
    done
}

initialise() {
    make_cluster
    PGUSER="${PGUSER:-$POSTGRES_USER}" pg_ctl -D "$PGDATA" -o "${SOCKET[*]} -c listen_addresses='' -p 5432" -w start
    make_database
    run_init_files
    PGUSER="${PGUSER:-$POSTGRES_USER}" pg_ctl -D "$PGDATA" -m fast -w stop
    echo 'postgres: initialised'
}

main() {
    if [ "${1:-}" != postgres ]; then
        [ "${1#-}" = "${1:-}" ] && [ $# -gt 0 ] && exec "$@"
        set -- postgres "$@"
    fi
    case "${2:-}" in -V | --version | -\? | --help) exec "$@" ;; esac
    if [ ! -s "$PGDATA/PG_VERSION" ]; then
        mkdir -p "$PGDATA"
        chmod 700 "$PGDATA" || true
        from_file POSTGRES_PASSWORD
        from_file POSTGRES_USER postgres
        from_file POSTGRES_DB "$POSTGRES_USER"
        from_file POSTGRES_INITDB_ARGS
        initialise
    fi
    shift
    exec postgres "${SOCKET[@]}" "$@"
}

main "$@"
