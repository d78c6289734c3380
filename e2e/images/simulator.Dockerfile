# Simulated engines that stand in for the real images with nothing but the image replaced: the
# runner's binary under the names of the real entrypoints, which tell it what to be. One stage for
# each engine, because each has an entrypoint of its own.
ARG RUNNER
FROM ${RUNNER} AS names
USER 0:0
COPY . /

FROM names AS vllm
ENTRYPOINT ["vllm", "serve"]

FROM names AS tgi
ENTRYPOINT ["text-generation-launcher"]

FROM names AS llama-cpp
ENTRYPOINT ["/app/llama-server"]

FROM names AS jetstream
ENTRYPOINT ["jetstream-http"]

# JetStream's engine, in the same pod.
FROM names AS maxengine-server
ENTRYPOINT ["maxengine-server"]

FROM names AS sax
ENTRYPOINT ["sax-http"]

# SAX's other servers, in the same pod.
FROM names AS sax-admin-server
ENTRYPOINT ["sax-admin-server"]

FROM names AS sax-model-server
ENTRYPOINT ["sax-model-server"]

# Of engines whose profiles name their command.
FROM names AS commands
ENTRYPOINT []
