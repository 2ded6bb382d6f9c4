#!/bin/sh
# Packaging without the `lung-nodules` command: git, Python 3.11 or later and Docker are enough.
#   deploy/package.sh package --base debian:12-slim --tag lung-nodules-map:0.1.0
#   deploy/package.sh sizes lung-nodules-map:0.1.0
# Without --base it calls `monai-deploy package`, which must then be installed (requirements.txt).
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
[ -x "$python" ] || python=python3
PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" exec "$python" -m lung_nodules.packaging "$@"
