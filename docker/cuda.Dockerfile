# shardmill with its GPU library; the second image needs the host's driver only, as cudart is linked into the library.
#   docker build -f docker/cuda.Dockerfile -t shardmill-cuda .
#   docker run --rm --gpus all -v "$PWD:/data" shardmill-cuda run /data/corpus.jsonl.zst -o /data/out --device cuda
# Kernels are compiled for the chips of MILL_CUDA_ARCHS (tools/cuda.cmake) and as PTX for later ones.
FROM nvidia/cuda:13.0.1-devel-ubuntu24.04 AS build
WORKDIR /src
COPY . .
RUN tools/setup --yes build -DMILL_CUDA=ON && tools/setup --yes test -DMILL_CUDA=ON
RUN cmake --install build --prefix /opt/shardmill --strip
# NCCL, for several GPUs in one training; without it sums go through the host.
RUN nccl=$(ldconfig -p | awk '/libnccl\.so\.2 / { print $NF; exit }') && if [ -n "$nccl" ]; then cp -L "$nccl" /opt/shardmill/lib/; fi

FROM ubuntu:24.04
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        ca-certificates libarchive13t64 libcjson1 libcurl4t64 libexpat1 libssl3t64 libstdc++6 libutf8proc3 libxxhash0 libzstd1 python3-minimal zlib1g \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/shardmill /opt/shardmill
RUN echo /opt/shardmill/lib >/etc/ld.so.conf.d/shardmill.conf && ldconfig
ENV PATH=/opt/shardmill/bin:$PATH NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN shardmill --version && shardmill devices
WORKDIR /data
ENTRYPOINT ["shardmill"]
