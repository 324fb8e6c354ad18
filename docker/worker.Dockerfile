# The worker's image: SIP, RTP, the realtime sessions. From the repository's root:
#
#     docker build -f docker/worker.Dockerfile -t offhook-worker .
#
# pjsua2 is built from an archive docker/pjproject*.tar.* where there is one, else from upstream's, which is fetched
# and must have its known sum. The compilers stay in their own stage.

ARG PYTHON=python:3.13-slim-trixie

FROM ${PYTHON} AS pjsua2
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        build-essential swig libssl-dev uuid-dev libsrtp2-dev libspeex-dev libspeexdsp-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY telephony/native telephony/native
COPY docker/build-pjsua2 docker/pjproject*.tar.* docker/
ARG CALLS=512
RUN source="$(ls docker/pjproject*.tar.* 2>/dev/null || echo upstream)" \
    && docker/build-pjsua2 "$source" --calls "$CALLS" --work /tmp/work --out /wheels \
    && rm -rf /tmp/work

FROM ${PYTHON} AS app
ARG UV=0.13.8
RUN pip install --no-cache-dir "uv==$UV"
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=/opt/offhook
WORKDIR /src
# `embedded` is the local realtime server's voice and ears. With a provider it isn't needed: --build-arg GROUPS=
ARG GROUPS="--group embedded"
COPY pyproject.toml uv.lock ./
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --locked --no-default-groups $GROUPS --no-install-project
COPY --from=pjsua2 /wheels/ /wheels/
RUN uv pip install --python /opt/offhook --no-deps /wheels/*.whl
COPY README.md LICENSE ./
COPY worker worker
COPY telephony telephony
COPY tools tools
RUN --mount=type=cache,target=/root/.cache/uv \
    uv pip install --python /opt/offhook --no-deps .

FROM ${PYTHON}
# tini: a first process that hands signals on and buries orphans. No program may raise its rights.
RUN apt-get update \
    && apt-get install -y --no-install-recommends tini libspeex1 libspeexdsp1 libsrtp2-1 libssl3t64 libuuid1 \
    && rm -rf /var/lib/apt/lists/* \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin offhook \
    && install -d -o offhook -g offhook /recordings
COPY --from=app /opt/offhook /opt/offhook
COPY --chmod=755 docker/health /usr/local/bin/offhook-health
ENV PATH=/opt/offhook/bin:$PATH PYTHONUNBUFFERED=1
# What runs must not need what was left behind in the other stages. And the official image comes without bytecode of
# Python's own modules: what is imported here is compiled once, not at each start and each health check.
RUN python -c "import pjsua2, http.client, worker.service.run, worker.service.app, worker.local.server, worker.embedded.tether" \
    && offhook --help >/dev/null
ENV PYTHONDONTWRITEBYTECODE=1
# Tools in files of one's own: /agent is where they are mounted, and what they import is looked for there, too.
WORKDIR /agent
USER offhook
EXPOSE 5060/udp 5060/tcp 8080/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --start-interval=2s CMD ["offhook-health"]
ENTRYPOINT ["tini", "--", "offhook"]
CMD ["serve"]
