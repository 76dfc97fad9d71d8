#!/usr/bin/env bash
# Starts Neo4j as the official image does: files in /conf replace the configuration, variables
# NEO4J_a_b__c set a.b_c in it, NEO4J_AUTH=neo4j/PASSWORD counts at the first start only.
# Any other command than `neo4j` is run with that configuration.
set -euo pipefail

readonly CONTROLS=' NEO4J_AUTH NEO4J_HOME NEO4J_CONF NEO4J_EDITION NEO4J_DEBUG NEO4J_ACCEPT_LICENSE_AGREEMENT '

# The configuration lies where it can be written: below /tmp when the root is read-only.
place_configuration() {
    local shipped=/usr/share/neo4j/neo4j.conf
    export NEO4J_CONF="$NEO4J_HOME/conf"
    if [ ! -w "$NEO4J_CONF" ]; then
        NEO4J_CONF=/tmp/neo4j-conf
        mkdir -p -m 700 "$NEO4J_CONF"
    fi
    if [ -d /conf ]; then cp /conf/* "$NEO4J_CONF"; else cp "$shipped" "$NEO4J_CONF/neo4j.conf"; fi
    chmod -R u+w "$NEO4J_CONF"
}

# setting NAME [DEFAULT]: the last value in the configuration.
setting() {
    local value
    value=$(sed -n "s/^${1//./\\.}=//p" "$NEO4J_CONF/neo4j.conf" | tail -n 1)
    printf '%s' "${value:-${2:-}}"
}

apply_variables() {
    local name key
    for name in $(compgen -e NEO4J_); do
        if [[ $CONTROLS == *" $name "* || $name == *_FILE || -z ${!name} ]]; then continue; fi
        key=${name#NEO4J_}
        key=${key//__/$'\x01'}
        key=${key//_/.}
        key=${key//$'\x01'/_}
        sed -i "/^${key//./\\.}=/d" "$NEO4J_CONF/neo4j.conf"
        printf '%s=%s\n' "$key" "${!name}" >>"$NEO4J_CONF/neo4j.conf"
    done
    if [ -z "$(setting server.default_listen_address)" ]; then
        echo server.default_listen_address=0.0.0.0 >>"$NEO4J_CONF/neo4j.conf"
    fi
}

set_initial_password() {
    local password="${NEO4J_AUTH#*/}"
    if [ "$NEO4J_AUTH" = none ]; then
        echo dbms.security.auth_enabled=false >>"$NEO4J_CONF/neo4j.conf"
        return
    fi
    if [[ ! $NEO4J_AUTH =~ ^neo4j/[^/]+$ ]] || [ ${#password} -lt 8 ] || [ "$password" = neo4j ]; then
        echo 'neo4j: NEO4J_AUTH is not neo4j/PASSWORD with eight characters or more and no slash.' >&2
        exit 1
    fi
    # Afterwards the command would print success and do nothing.
    if [ -d /data/databases/system ]; then return; fi
    printf '%s' "$password" | java -Xmx64m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
        -cp "$NEO4J_HOME/lib/*:/usr/share/neo4j" InitialPassword
}

# The server as the first process: it gets SIGTERM itself.
serve() {
    local options=() line
    while read -r line; do options+=("$line"); done < <(sed -n 's/^server\.jvm\.additional=//p' "$NEO4J_CONF/neo4j.conf")
    if [[ "${options[*]}" != *--add-opens* ]]; then
        for line in java.nio java.io sun.nio.ch; do options+=("--add-opens=java.base/$line=ALL-UNNAMED"); done
    fi
    unset NEO4J_AUTH
    exec java -Xms"$(setting server.memory.heap.initial_size 64m)" -Xmx"$(setting server.memory.heap.max_size 256m)" \
        "${options[@]}" -Dfile.encoding=UTF-8 -cp "$NEO4J_HOME/lib/*" org.neo4j.server.CommunityEntryPoint \
        --home-dir="$NEO4J_HOME" --config-dir="$NEO4J_CONF" --console-mode
}

place_configuration
apply_variables
if [ "${1:-neo4j}" != neo4j ]; then exec "$@"; fi
if [ -n "${NEO4J_AUTH:-}" ]; then set_initial_password; fi
serve
