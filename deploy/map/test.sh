#!/bin/bash
# `make test-map`: everything from a fresh Debian 12 to a tested image. As root.
#   LUNG_NODULES_MAP_IMAGE   name of the image (lung-nodules-map:test)
#   LUNG_NODULES_MAP_BASE    its base; made by debootstrap where it is not given
# Arguments go to pytest. Every test that carries the marker `map` is run, wherever it stands.
set -euo pipefail
cd "$(dirname "$0")/../.."
export LUNG_NODULES_MAP_IMAGE=${LUNG_NODULES_MAP_IMAGE:-lung-nodules-map:test}
base=${LUNG_NODULES_MAP_BASE:-lung-nodules-base:bookworm}

engine_answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

start_engine() {
    command -v dockerd >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends docker.io; }
    echo "Starting a Docker engine of its own: it goes on running."
    nohup dockerd --iptables=false --bridge=none >/tmp/lung-nodules-dockerd.log 2>&1 &
    for _ in $(seq 60); do
        engine_answers && return
        sleep 0.5
    done
    tail -20 /tmp/lung-nodules-dockerd.log >&2
    exit 1
}

make_base() {
    command -v debootstrap >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends debootstrap; }
    local folder
    folder=$(mktemp -d)
    debootstrap --variant=minbase bookworm "$folder" >/tmp/lung-nodules-debootstrap.log
    rm -rf "$folder"/var/cache/apt/archives/*.deb "$folder"/var/lib/apt/lists/*
    tar -C "$folder" --exclude='./dev/*' -c . | docker import - "$base" >/dev/null
    rm -rf "$folder"
}

engine_answers || start_engine
command -v Orthanc >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends orthanc; }
[ -n "${LUNG_NODULES_MAP_BASE:-}" ] || docker image inspect "$base" >/dev/null 2>&1 || make_base
.venv/bin/lung-nodules package --base "$base" --tag "$LUNG_NODULES_MAP_IMAGE" --network host
deploy/package.sh sizes "$LUNG_NODULES_MAP_IMAGE"
.venv/bin/python -m pytest -m map -s "$@"
