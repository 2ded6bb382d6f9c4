# A MONAI Application Package from any base image, by plain Docker: no buildx, no BuildKit syntax.
#
# The context is a staged copy of the committed application, as `lung-nodules package --base IMAGE` or
# `deploy/package.sh package --base IMAGE` makes it. `host/` in it may hold ca.crt and wheels/, which this machine's
# network asks for; only the stage that installs sees them. docs/map.md tells the rest.

# Brings Python 3.11 or 3.12 itself, or has apt and one of them in its packages.
ARG BASE=debian:12-slim

FROM ${BASE} AS python
RUN python3 -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null \
    || { apt-get update \
         && apt-get install -y --no-install-recommends python3 \
         && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin; }

# Installs and prepares; the image takes only /opt/venv and /map of it.
FROM python AS workshop
RUN python3 -c 'import ensurepip' 2>/dev/null \
    || { apt-get update && apt-get install -y --no-install-recommends python3-venv; }
COPY host/ /host/
COPY app/requirements.txt /tmp/requirements.txt
# An index beside PyPI, for example https://download.pytorch.org/whl/cpu for PyTorch's CPU build.
ARG EXTRA_INDEX=
RUN if [ -f /host/ca.crt ]; then export PIP_CERT=/host/ca.crt; fi \
    && if [ -d /host/wheels ]; then export PIP_FIND_LINKS=/host/wheels; fi \
    && if [ -n "$EXTRA_INDEX" ]; then export PIP_EXTRA_INDEX_URL="$EXTRA_INDEX"; fi \
    && python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --quiet --no-cache-dir --no-compile --disable-pip-version-check -r /tmp/requirements.txt
ENV PATH=/opt/venv/bin:$PATH

COPY app/ /map/opt/holoscan/app/
COPY models/ /map/opt/holoscan/models/
COPY docs/ /map/opt/holoscan/docs/
COPY deploy/map/ /tmp/map/
# The networks in the form in which OpenVINO reads them, so that a run does not convert them each time.
RUN cd /map/opt/holoscan/app \
    && XDG_CACHE_HOME=/map/opt/holoscan/cache python3 -c 'from pathlib import Path; \
from lung_nodules.networks.opened import open_networks; \
from lung_nodules.networks.record import load_models; \
from lung_nodules.settings import RuntimeSettings; \
open_networks(load_models(Path("/map/opt/holoscan/models")), RuntimeSettings(runtime="openvino"))'
# What a run does not need; empty: nothing is left out.
ARG LEAVE_OUT=leave_out.txt
RUN if [ -n "$LEAVE_OUT" ]; then \
        sed 's/ *#.*//; /^$/d' "/tmp/map/$LEAVE_OUT" > /tmp/leave_out.txt \
        && cd /opt/venv/lib/python3.*/site-packages \
        && rm -r $(grep / /tmp/leave_out.txt) \
        && pip uninstall --quiet --yes $(grep -v / /tmp/leave_out.txt); \
    fi
# It must still start: better told here than by the first run.
RUN cd /map/opt/holoscan/app && python3 -W ignore -c 'from app.holoscan import prepare_holoscan; \
prepare_holoscan(); import app.application'
# Compiled once for all users; a few files of other packages are templates that no Python reads.
RUN python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash -s /map -p / /map/opt/holoscan/app \
    && { python3 -m compileall -qq -j 0 --invalidation-mode unchecked-hash /opt/venv/lib || true; }
RUN cd /map/opt/holoscan/app \
    && python3 -m lung_nodules.packaging manifests app.yaml ../models /map/etc/holoscan \
    && rm -r ../docs/third-party \
    && python3 -m lung_nodules.packaging licences requirements.txt ../docs/third-party \
    && mkdir -p /map/var/holoscan/input /map/var/holoscan/logs \
    && mkdir -p -m 1777 /map/var/holoscan/output \
    && cp app.yaml /map/var/holoscan/app.yaml \
    && cp /tmp/map/tools /map/var/holoscan/tools \
    && chmod -R a+rX,go-w /map/opt /map/etc \
    && chmod 755 /map/var/holoscan/tools

FROM python
ARG BASE
ARG TAG=lung-nodules-map:0.1.0
ARG TITLE="Lung nodules"
ARG VERSION=0.1.0
ARG REVISION=
ARG RUN_AS=0:0
LABEL base="${BASE}" \
      tag="${TAG}" \
      org.opencontainers.image.title="${TITLE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.description="Finds, outlines and rates lung nodules in a chest CT. Research use only." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE}" \
      org.nvidia.holoscan="4.2.0" \
      org.monai.deploy.app-sdk="4.0.0"
ENV HOLOSCAN_APPLICATION=/opt/holoscan/app \
    HOLOSCAN_INPUT_PATH=/var/holoscan/input/ \
    HOLOSCAN_OUTPUT_PATH=/var/holoscan/output/ \
    HOLOSCAN_WORKDIR=/var/holoscan/ \
    HOLOSCAN_MODEL_PATH=/opt/holoscan/models/ \
    HOLOSCAN_CONFIG_PATH=/var/holoscan/app.yaml \
    HOLOSCAN_APP_MANIFEST_PATH=/etc/holoscan/app.json \
    HOLOSCAN_PKG_MANIFEST_PATH=/etc/holoscan/pkg.json \
    HOLOSCAN_DOCS=/opt/holoscan/docs \
    HOLOSCAN_DOCS_PATH=/opt/holoscan/docs \
    HOLOSCAN_LOGS=/var/holoscan/logs \
    HOLOSCAN_LOGS_PATH=/var/holoscan/logs \
    HOLOSCAN_TIMEOUT=0 \
    HOLOSCAN_VERSION=4.2.0 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    XDG_CACHE_HOME=/opt/holoscan/cache \
    PYTHONDONTWRITEBYTECODE=1 \
    PATH=/opt/venv/bin:$PATH
COPY --from=workshop /opt/venv/ /opt/venv/
COPY --from=workshop /map/ /
WORKDIR /var/holoscan
USER ${RUN_AS}
ENTRYPOINT ["/var/holoscan/tools"]
