# A Docker engine and a base image where there is none, on Debian 12 as root; to be sourced.

engine_answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# $1 program, $2 package
need() { command -v "$1" >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends "$2"; }; }

start_engine() {
    engine_answers && return
    need dockerd docker.io
    echo "Starting a Docker engine of its own: it goes on running."
    nohup dockerd --iptables=false --bridge=none >/tmp/lung-nodules-dockerd.log 2>&1 &
    for _ in $(seq 60); do
        engine_answers && return
        sleep 0.5
    done
    tail -20 /tmp/lung-nodules-dockerd.log >&2
    exit 1
}

# $1 name of the image
make_base() {
    docker image inspect "$1" >/dev/null 2>&1 && return
    need debootstrap debootstrap
    local folder
    folder=$(mktemp -d)
    debootstrap --variant=minbase bookworm "$folder" >/tmp/lung-nodules-debootstrap.log
    rm -rf "$folder"/var/cache/apt/archives/*.deb "$folder"/var/lib/apt/lists/*
    tar -C "$folder" --exclude='./dev/*' -c . | docker import - "$1" >/dev/null
    rm -rf "$folder"
}

# What only this machine's network asks for, where builds look for it; in no layer of an image.
take_host_files() {
    rm -rf build/host && mkdir -p build/host
    [ ! -f "${PIP_CERT:-}" ] || cp "$PIP_CERT" build/host/ca.crt
    [ ! -d "${PIP_FIND_LINKS:-}" ] || cp -r "$PIP_FIND_LINKS" build/host/wheels
}
