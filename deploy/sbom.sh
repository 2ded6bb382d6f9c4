#!/bin/sh
# `make sbom`: CycloneDX lists in build/sbom. $1: the folder of the environment's programs.
#   environment.cdx.json   every Python package of this environment, tests and training included
#   page.cdx.json          what the built page is made of, from its lock file
#   service-image.cdx.json what the service's image says of itself, where there is one (LUNG_NODULES_IMAGE)
set -eu
bin=${1:-.venv/bin}
image=${LUNG_NODULES_IMAGE:-lung-nodules-service:0.1.0}
out=build/sbom
mkdir -p "$out"
"$bin/cyclonedx-py" environment --output-reproducible --pyproject pyproject.toml --output-file "$out/environment.cdx.json" \
    "$bin/python"
PYTHONPATH=lung_nodules/service/page "$bin/python" -c 'import sys, build; sys.exit(build.run_npm(*sys.argv[1:]))' \
    sbom --sbom-format=cyclonedx --package-lock-only --omit=dev >"$out/page.cdx.json"
if docker image inspect "$image" >/dev/null 2>&1; then
    docker run --rm --network none --entrypoint cat "$image" /opt/lung-nodules/sbom.cdx.json >"$out/service-image.cdx.json"
else
    echo "There is no image $image here; its list is in it: /opt/lung-nodules/sbom.cdx.json"
fi
ls -l "$out"
