# The controller: one static binary and the public authorities. `build.sh` fills the context.
ARG BASE=scratch
FROM ${BASE}
LABEL org.opencontainers.image.title="bakeoff-operator" \
      org.opencontainers.image.description="Runs inference benchmarks as Kubernetes objects" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY etc /etc
COPY bin/bakeoff-operator /usr/local/bin/bakeoff-operator
ENV PATH=/usr/local/bin:/usr/bin:/bin
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/bakeoff-operator"]
