#!/bin/sh
# Makes the secrets of compose.yaml with random passwords, once: what is there already stays.
# The folder is closed to others on this machine; the files in it are readable, because a container's user reads them.
set -eu
cd "$(dirname "$0")"
mkdir -p -m 700 secrets
umask 022
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
if [ -e secrets/database_url ] && [ -e secrets/archive_users.json ]; then
    echo "The secrets are there: $PWD/secrets"
    exit
fi
database=$(random) archive=$(random)
printf '%s' "$database" >secrets/database_password
printf 'postgresql://lung_nodules:%s@database/lung_nodules' "$database" >secrets/database_url
printf '%s' "$archive" >secrets/archive_password
printf '{"RegisteredUsers": {"lung-nodules": "%s"}}\n' "$archive" >secrets/archive_users.json
printf 'proxy_set_header Authorization "Basic %s";\n' "$(printf 'lung-nodules:%s' "$archive" | base64 | tr -d '\n')" \
    >secrets/viewer_authorization.conf
echo "Secrets: $PWD/secrets"
