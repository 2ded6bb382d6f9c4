# Debian's Orthanc in the place of the pinned image, where that cannot be pulled. For tests alone: Debian 12 has 1.10.1, and
# all before 1.12.11 carry CVE-2026-5437 to -5445.
ARG BASE=debian:12-slim
FROM ${BASE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends orthanc orthanc-dicomweb \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin
USER 1000:1000
