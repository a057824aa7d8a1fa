// gpu_rounds.h: rounds of merges on one device: its share of the words, and what its thread does with them.
//
// A device holds the symbols of its share and a pair table of all words; tables are replicas, since every
// device changes its own by the same sums. Jobs that need no other device are one a round; where words are
// shared, sums go from device to device by NCCL within the job, or through the host between two jobs.
#ifndef MILL_BACKEND_GPU_ROUNDS_H
#define MILL_BACKEND_GPU_ROUNDS_H

#include "backend/gpu_circle.h"

enum { MILL_GPU_ROUND_MEMORIES = 14 };

typedef struct mill_gpu_answer { // what a round copies out; pinned
    mill_gpu_bpe_outcome outcome;
    uint32_t state[MILL_GPU_BPE_STATES];
} mill_gpu_answer;

typedef struct mill_gpu_part {
    mill_gpu_device *device;
    const mill_train_job *job;
    const mill_gpu_bpe_batch *batch; // of this round
    mill_train_words words;          // its share
    mill_bpe_rank *ranks;            // of the share, if it is one
    uint32_t rank, parts;            // of how many that share the words
    mill_gpu_circle *circle;         // NULL: sums go through the host
    mill_gpu_bpe bpe;
    void *memories[MILL_GPU_ROUND_MEMORIES]; // of the device
    size_t memory_count;
    uint8_t *table;                // of the device: all arrays of the pair table
    uint32_t *byte_ids;            // of the device, for the beginning
    uint64_t *device_first;        // of the device: weights of pairs of bytes
    mill_gpu_bpe_sum *told, *all;  // of the device: its own blocks; one block of each part
    mill_gpu_answer *answer;       // pinned
    uint64_t *first;               // 65536: device_first on the host, of this share, then of all
    mill_gpu_bpe_sum *own;         // told on the host
    struct mill_gpu_part *partner; // the first of all parts
    char trouble[200];             // why it cannot go on, though the device works
} mill_gpu_part;

size_t mill_gpu_part_told_bytes(const mill_train_job *job); // of `own`, for any round

// Jobs, with a part as context, in this order: begin, then begin_pairs, then rounds.
bool mill_gpu_part_begin(mill_gpu_device *device, void *context); // memory and words; fills `first`
bool mill_gpu_part_begin_pairs(mill_gpu_device *device, void *context);
bool mill_gpu_part_round(mill_gpu_device *device, void *context); // of the only device, or by NCCL
// A round through the host: what this device's words say; when all have told, what all say.
bool mill_gpu_part_tell(mill_gpu_device *device, void *context);
bool mill_gpu_part_hear(mill_gpu_device *device, void *context);
bool mill_gpu_part_end(mill_gpu_device *device, void *context); // gives everything back

#endif
