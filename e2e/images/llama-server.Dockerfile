# llama.cpp's own server, as ghcr.io/ggml-org/llama.cpp:server has it, with a tiny model inside.
FROM scratch
COPY . /
ENV PATH=/usr/bin:/bin LD_LIBRARY_PATH=/app
ENTRYPOINT ["/app/llama-server"]
