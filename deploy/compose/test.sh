#!/bin/bash
# `make test-compose`: builds the services of compose.debian.yaml and runs them, as root on Debian 12.
#   LUNG_NODULES_BASE   base of the images; made by debootstrap where it is not given
# Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/../.."
. deploy/engine.sh
export LUNG_NODULES_BASE=${LUNG_NODULES_BASE:-lung-nodules-base:bookworm}
start_engine
[ "$LUNG_NODULES_BASE" != lung-nodules-base:bookworm ] || make_base "$LUNG_NODULES_BASE"
docker compose version >/dev/null 2>&1 || need docker-compose docker-compose
take_host_files
.venv/bin/python -m pytest -m compose -s "$@"
