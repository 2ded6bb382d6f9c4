#!/bin/sh
# Makes the secrets of compose.yaml with random passwords, once: what is there already stays.
# The folder is closed to others on this machine; the files in it are readable, because a container's user reads them.
set -eu
cd "$(dirname "$0")"
mkdir -p -m 700 secrets
umask 022
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
if [ ! -e secrets/database_url ]; then
    database=$(random)
    printf '%s' "$database" >secrets/database_password
    printf 'postgresql://lung_nodules:%s@database/lung_nodules' "$database" >secrets/database_url
fi
# two accounts of the archive: the service's, and the viewer's, which can only read (viewer_reads.lua)
if [ ! -e secrets/archive_users.json ]; then
    archive=$(random) viewer=$(random)
    printf '%s' "$archive" >secrets/archive_password
    printf 'proxy_set_header Authorization "Basic %s";\n' "$(printf 'viewer:%s' "$viewer" | base64 | tr -d '\n')" \
        >secrets/viewer_authorization.conf
    printf '{"RegisteredUsers": {"lung-nodules": "%s", "viewer": "%s"}}\n' "$archive" "$viewer" >secrets/archive_users.json
fi
echo "Secrets: $PWD/secrets"
