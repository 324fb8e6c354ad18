# A tool worker's image, and rq-dashboard's. From the repository's root:
#
#     docker build -f docker/tool-worker.Dockerfile -t offhook-tool-worker .
#     docker build -f docker/tool-worker.Dockerfile -t offhook-dashboard --target dashboard .
#
# No telephone and no realtime session: what only these need is left out. What your tools need comes on top, in an image
# of your own: FROM offhook-tool-worker, USER root, RUN pip install --target /opt/offhook/tools ..., USER offhook.

ARG PYTHON=python:3.13-slim-trixie

FROM ${PYTHON} AS build
ARG UV=0.13.8
RUN pip install --no-cache-dir "uv==$UV"
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /src
COPY pyproject.toml uv.lock ./
# The lock without the worker's own dependencies, and what only they depend on.
ENV EXPORT="uv export --quiet --locked --no-default-groups \
    --prune aiohttp --prune audioop-lts --prune numpy --prune openai --prune orjson --prune pjsua2-python \
    --prune prometheus-client --prune scipy --prune uvloop --prune websockets --no-emit-project"
# For tools on MCP servers: --build-arg EXTRAS="--extra mcp"
ARG EXTRAS=
RUN --mount=type=cache,target=/root/.cache/uv \
    $EXPORT $EXTRAS --output-file requirements.txt \
    && uv venv /opt/offhook \
    && uv pip install --python /opt/offhook --require-hashes -r requirements.txt
COPY README.md LICENSE ./
COPY worker worker
COPY telephony telephony
COPY tools tools
RUN --mount=type=cache,target=/root/.cache/uv \
    uv pip install --python /opt/offhook --no-deps .

FROM build AS build-dashboard
RUN --mount=type=cache,target=/root/.cache/uv \
    $EXPORT --extra dashboard --output-file dashboard.txt \
    && uv pip install --python /opt/offhook --require-hashes -r dashboard.txt

FROM ${PYTHON} AS base
# tini: a first process that hands signals on and buries orphans. No program may raise its rights.
RUN apt-get update \
    && apt-get install -y --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin offhook
ENV PATH=/opt/offhook/bin:$PATH PYTHONUNBUFFERED=1
# Tools in files of one's own: /agent is where they are mounted, and what they import is looked for there, too.
WORKDIR /agent
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--", "offhook"]

FROM base AS dashboard
COPY --from=build-dashboard /opt/offhook /opt/offhook
# The official image has no bytecode of Python's own modules: what is imported here is compiled once, not at each start.
RUN python -c "import tools.dashboard, rq_dashboard.cli, urllib.request" && offhook --help >/dev/null
ENV PYTHONDONTWRITEBYTECODE=1
USER offhook
EXPOSE 9181/tcp
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --start-interval=2s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9181/', timeout=4)"]
CMD ["dashboard", "--host", "0.0.0.0"]

# Its health is that its first process runs: where Redis is away it waits, and a restart would mend nothing.
FROM base AS tool-worker
COPY --from=build /opt/offhook /opt/offhook
RUN python -c "import tools.worker.tool_worker" && offhook tools list
ENV PYTHONDONTWRITEBYTECODE=1
USER offhook
CMD ["tool-worker"]
