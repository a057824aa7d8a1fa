# shardmill with its GPU library; the second image needs the host's driver only, as cudart is linked into the library.
#   docker build -f docker/cuda.Dockerfile -t shardmill-cuda .
#   docker run --rm --gpus all -v "$PWD:/data" shardmill-cuda run /data/corpus.jsonl.zst -o /data/out --device cuda
# Kernels are compiled for the chips of MILL_CUDA_ARCHS (tools/cuda.cmake) and as PTX for later ones. The tests run where
# docker/cpu.Dockerfile is built: they execute the kernels on the emulator, as no card is there while an image is made.
FROM debian:12-slim AS build
WORKDIR /src
COPY . .
RUN tools/setup --yes cuda && tools/setup --yes build -DMILL_CUDA=ON
RUN cmake --install build --prefix /opt/shardmill --strip
# NCCL, for several GPUs in one training; without it sums go through the host.
RUN cp build/cuda/lib/python3*/site-packages/nvidia/nccl/lib/libnccl.so.2 /opt/shardmill/lib/

FROM debian:12-slim
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        ca-certificates libarchive13 libcjson1 libcurl4 libexpat1 libssl3 libstdc++6 libutf8proc2 libxxhash0 libzstd1 python3-minimal zlib1g \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/shardmill /opt/shardmill
RUN echo /opt/shardmill/lib >/etc/ld.so.conf.d/shardmill.conf && ldconfig
ENV PATH=/opt/shardmill/bin:$PATH NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN shardmill --version && shardmill devices && ! shardmill devices | grep -q 'no GPU library'
WORKDIR /data
ENTRYPOINT ["shardmill"]
