# The proxy's image: Debian's Kamailio with the configuration of docker/proxy. From the repository's root:
#
#     docker build -f docker/proxy.Dockerfile -t offhook-proxy .

ARG DEBIAN=debian:trixie-slim

FROM ${DEBIAN}
# kamailio-extra-modules has rtpengine's; gawk and libc-bin are what `start` looks names up with.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        tini ca-certificates kamailio kamailio-extra-modules kamailio-tls-modules mawk \
    && rm -rf /var/lib/apt/lists/* \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin offhook
COPY docker/proxy/kamailio.cfg /etc/offhook/kamailio.cfg
COPY --chmod=755 docker/proxy/start /usr/local/bin/offhook-proxy
ENV PROXY_CONFIG=/etc/offhook/kamailio.cfg PROXY_RUN=/run/offhook
USER offhook
EXPOSE 5060/udp 5060/tcp 5061/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --start-interval=1s \
    CMD ["kamcmd", "-s", "unix:/run/offhook/ctl", "core.uptime"]
ENTRYPOINT ["tini", "--", "offhook-proxy"]
CMD []
