# The media relay's image: Debian's rtpengine, in user space. From the repository's root:
#
#     docker build -f docker/media.Dockerfile -t offhook-media .

ARG DEBIAN=debian:trixie-slim

FROM ${DEBIAN}
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends tini rtpengine-daemon mawk \
    && rm -rf /var/lib/apt/lists/* \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin offhook
COPY --chmod=755 docker/media/start /usr/local/bin/offhook-media
COPY --chmod=755 docker/media/health /usr/local/bin/offhook-media-health
USER offhook
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --start-interval=1s CMD ["offhook-media-health"]
ENTRYPOINT ["tini", "--", "offhook-media"]
CMD []
