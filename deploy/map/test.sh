#!/bin/bash
# `make test-map`: everything from a fresh Debian 12 to a tested image. As root.
#   LUNG_NODULES_MAP_IMAGE   name of the image (lung-nodules-map:test)
#   LUNG_NODULES_MAP_BASE    its base; made by debootstrap where it is not given
# Arguments go to pytest. Every test that carries the marker `map` is run, wherever it stands.
set -euo pipefail
cd "$(dirname "$0")/../.."
export LUNG_NODULES_MAP_IMAGE=${LUNG_NODULES_MAP_IMAGE:-lung-nodules-map:test}
base=${LUNG_NODULES_MAP_BASE:-lung-nodules-base:bookworm}

source deploy/engine.sh

start_engine
need Orthanc orthanc
[ -n "${LUNG_NODULES_MAP_BASE:-}" ] || make_base "$base"
.venv/bin/lung-nodules package --base "$base" --tag "$LUNG_NODULES_MAP_IMAGE" --network host
deploy/package.sh sizes "$LUNG_NODULES_MAP_IMAGE"
.venv/bin/python -m pytest -m map -s "$@"
