#!/bin/sh
# Tells the Informatics Gateway by its REST interface whom to listen to, where to export to and how to group instances;
# then registers the workflow. What is there already stays as it is.
# Usage: configure.sh [GATEWAY_URL [WORKFLOW_MANAGER_URL [WORKFLOW_FILE]]]
set -eu
cd "$(dirname "$0")"
gateway=${1:-http://localhost:5000}
manager=${2:-http://localhost:5001}
workflow=${3:-workflow-docker.json}
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

post() {
    status=$(curl --silent --show-error --output "$answer" --write-out '%{http_code}' \
        --header 'Content-Type: application/json' --data "@$2" "$1")
    case $status in
        2??) echo "$2: done" ;;
        409) echo "$2: there already" ;;
        *) echo "$2: refused with $status" >&2; cat "$answer" >&2; exit 1 ;;
    esac
}

post "$gateway/config/source" source.json
post "$gateway/config/destination" destination.json
post "$gateway/config/ae" ae.json
post "$manager/workflows" "$workflow"
