# Debian's PostgreSQL in the place of the pinned image, where that cannot be pulled; understands what compose.yaml tells it.
ARG BASE=debian:12-slim
FROM ${BASE}
RUN groupadd --gid 999 postgres && useradd --uid 999 --gid 999 --home-dir /var/lib/postgresql postgres \
    && apt-get update \
    && apt-get install -y --no-install-recommends postgresql-15 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/lib/postgresql/* \
    && chown 999:999 /var/lib/postgresql \
    && install -d -o 999 -g 999 -m 3777 /run/postgresql
ENV PATH=/usr/lib/postgresql/15/bin:$PATH PGDATA=/var/lib/postgresql/15/docker
COPY deploy/debian/postgres-start /usr/local/bin/
USER 999:999
ENTRYPOINT ["postgres-start"]
