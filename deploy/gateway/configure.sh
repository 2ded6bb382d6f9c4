#!/bin/sh
# Tells the Informatics Gateway by its REST interface whom to listen to, where to export to and how to group instances;
# then registers the workflow and prints the id by which an inference request names it. What is there already stays as
# it is: a second run changes nothing.
# Usage: configure.sh [GATEWAY_URL [WORKFLOW_MANAGER_URL [WORKFLOW_FILE]]]
set -eu
here=$(dirname "$0")
gateway=${1:-http://localhost:5000}
manager=${2:-http://localhost:5001}
workflow=${3:-$here/workflow-docker.json}
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

# Prints workflow_id of the workflow that has the name of a file's; GET /workflows gives a page at a time.
find_workflow='
import json, sys, urllib.request
manager, file = sys.argv[1:]
name, page, pages = json.load(open(file, encoding="utf-8"))["name"], 1, 1
while page <= pages:
    with urllib.request.urlopen(f"{manager}/workflows?pageNumber={page}") as reply:
        listed = {key.lower(): value for key, value in json.load(reply).items()}
    for revision in listed["data"]:
        if revision["workflow"]["name"] == name:
            sys.exit(print(revision["workflow_id"]))
    page, pages = page + 1, listed["totalpages"]
sys.exit(f"{file}: no workflow of this name is registered")
'

post() { # url file
    curl --silent --show-error --output "$answer" --write-out '%{http_code}' \
        --header 'Content-Type: application/json' --data "@$2" "$1"
}

refuse() { # file status
    echo "$1: refused with $2" >&2
    cat "$answer" >&2
    exit 1
}

tell_gateway() { # resource file
    status=$(post "$gateway/config/$1" "$here/$2")
    case $status in
        2??) echo "$2: done" ;;
        409) echo "$2: there already" ;;
        *) refuse "$2" "$status" ;;
    esac
}

# The Workflow Manager answers a name that is taken with 400, as any other fault; it lists faults with semicolons.
is_only_taken() { grep -q 'Workflow with name .* already exists' "$answer" && ! grep -q ';' "$answer"; }

tell_manager() { # file
    status=$(post "$manager/workflows" "$1")
    case $status in
        2??)
            id=$(sed -n 's/.*"workflow_id" *: *"\([^"]*\)".*/\1/p' "$answer")
            echo "$1: done, workflow_id $id"
            ;;
        400)
            is_only_taken || refuse "$1" "$status"
            id=$(python3 -c "$find_workflow" "$manager" "$1")
            echo "$1: there already, not compared, workflow_id $id"
            ;;
        *) refuse "$1" "$status" ;;
    esac
}

tell_gateway source source.json
tell_gateway destination destination.json
tell_gateway ae ae.json
tell_manager "$workflow"
