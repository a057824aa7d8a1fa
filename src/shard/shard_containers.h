// shard_containers.h: the rows of the table of containers; each stands at the end of the file that knows its bytes.
#ifndef MILL_SHARD_SHARD_CONTAINERS_H
#define MILL_SHARD_SHARD_CONTAINERS_H

#include "shard/container.h"

extern const mill_container mill_container_jsonl_zst, mill_container_jsonl; // shard_lines.c
extern const mill_container mill_container_megatron;                        // shard_megatron.c
extern const mill_container mill_container_mds;                             // shard_mds.c
extern const mill_container mill_container_npy;                             // shard_npy.c
extern const mill_container mill_container_llmc, mill_container_datatrove;   // shard_stream.c
extern const mill_container mill_container_olmo;                            // shard_olmo.c
extern const mill_container mill_container_parquet;                         // shard_parquet.c

#endif
