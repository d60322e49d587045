#!/bin/bash
# Starts PostgreSQL; makes the database first when PGDATA is empty.
set -euo pipefail

if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA"
  chmod 0700 "$PGDATA"
  find "$PGDATA" \! -user postgres -exec chown postgres '{}' +
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi

if [ "${1:-}" != postgres ]; then exec "$@"; fi

read_secret() {
  local file="${1}_FILE"
  if [ -n "${!file:-}" ]; then cat "${!file}"; else printf '%s' "${!1:-}"; fi
}

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  password=$(read_secret POSTGRES_PASSWORD)
  user=$(read_secret POSTGRES_USER)
  user=${user:-postgres}
  database=$(read_secret POSTGRES_DB)
  database=${database:-$user}
  method=scram-sha-256
  if [ "${POSTGRES_HOST_AUTH_METHOD:-}" = trust ]; then
    method=trust
  elif [ -z "$password" ]; then
    echo 'POSTGRES_PASSWORD is not set: give the superuser a password' >&2
    exit 1
  fi
  mkdir -p "$PGDATA"
  chmod 0700 "$PGDATA"
  if [ -n "$password" ]; then
    initdb --username="$user" --auth-local=trust --auth-host=scram-sha-256 \
      --pwfile=<(printf '%s\n' "$password") -D "$PGDATA"
  else
    initdb --username="$user" --auth=trust -D "$PGDATA"
  fi
  printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
  # Nobody can connect from outside before the database is as it was asked for.
  pg_ctl -D "$PGDATA" -w -o "-c listen_addresses=''" start
  if [ "$database" != postgres ]; then
    createdb --username="$user" --no-password --maintenance-db=postgres "$database"
  fi
  for file in /docker-entrypoint-initdb.d/*; do
    case "$file" in
      *.sh) bash "$file" ;;
      *.sql) psql -v ON_ERROR_STOP=1 --username="$user" --dbname="$database" -f "$file" ;;
    esac
  done
  pg_ctl -D "$PGDATA" -m fast -w stop
fi

exec "$@" -c "listen_addresses=*"
