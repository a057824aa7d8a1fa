# shardmill for the processor: built and tested in a first image, shipped in a second without compilers.
#   docker build -f docker/cpu.Dockerfile -t shardmill .
#   docker run --rm -v "$PWD:/data" shardmill run /data/corpus.jsonl.zst -o /data/out
FROM debian:12-slim AS build
WORKDIR /src
COPY . .
RUN tools/setup --yes build -DMILL_CUDA=OFF && tools/setup --yes test -DMILL_CUDA=OFF
RUN cmake --install build --prefix /opt/shardmill --strip

FROM debian:12-slim
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        ca-certificates libarchive13 libcjson1 libcurl4 libexpat1 libssl3 libstdc++6 libutf8proc2 libxxhash0 libzstd1 python3-minimal zlib1g \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/shardmill /opt/shardmill
ENV PATH=/opt/shardmill/bin:$PATH
RUN shardmill --version && shardmill devices
WORKDIR /data
ENTRYPOINT ["shardmill"]
