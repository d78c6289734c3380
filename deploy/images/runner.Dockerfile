# Load generator, reporter and simulated engines: the `bakeoff` binary. `build.sh` fills the context.
ARG BASE=scratch
FROM ${BASE}
LABEL org.opencontainers.image.title="bakeoff-runner" \
      org.opencontainers.image.description="Loads inference servers and reports what they did" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY etc /etc
COPY bin/bakeoff /usr/local/bin/bakeoff
ENV PATH=/usr/local/bin:/usr/bin:/bin
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/bakeoff"]
