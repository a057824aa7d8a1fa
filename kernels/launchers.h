// launchers.h: the functions behind the table of mill_gpu.h, one group for each .cu file.
#ifndef MILL_LAUNCHERS_H
#define MILL_LAUNCHERS_H

#include "mill_gpu.h"

extern "C" {
// collect.cu
int mill_gpu_collect_version(char *why, size_t capacity);
const char *mill_gpu_collect_text(int code);
int mill_gpu_collect_name(uint8_t *name);
int mill_gpu_collect_join(void **group, const uint8_t *name, uint32_t ranks, uint32_t rank);
int mill_gpu_collect_ask(void *group);
int mill_gpu_collect_sum(void *group, uint64_t *values, size_t count, void *stream);
int mill_gpu_collect_gather(void *group, const void *own, void *all, size_t bytes, void *stream);
int mill_gpu_collect_leave(void *group);
// text_stats.cu
int mill_gpu_text_stats(const mill_gpu_texts *in, const uint8_t *unicode, uint32_t index_bytes,
                        uint32_t shift, uint32_t rank, mill_gpu_text_stat *out, void *stream);
// text_scan.cu
int mill_gpu_text_scan(const mill_gpu_texts *in, const uint8_t *unicode, uint32_t index_bytes, uint32_t shift,
                       const mill_gpu_patterns *patterns, const uint32_t *traits, uint32_t *comments, uint32_t *found,
                       void *stream);
// words.cu
int mill_gpu_mark_breaks(const mill_gpu_texts *in, uint32_t *breaks, void *stream); // a bitmap of (total + 31) / 32 words
int mill_gpu_find_words(const mill_gpu_texts *in, const mill_gpu_words *words, void *stream);
// minhash.cu
int mill_gpu_sign(const mill_gpu_texts *in, const mill_gpu_words *words, const mill_gpu_minhash *params,
                  uint32_t *out, void *stream);
// pretok.cu
int mill_gpu_pretok(const mill_gpu_texts *in, const uint8_t *unicode, uint32_t index_bytes, uint32_t shift,
                    const mill_gpu_pieces *pieces, void *stream);
// word_table.cu
int mill_gpu_count_words(const mill_gpu_texts *in, const mill_gpu_pieces *pieces, const mill_gpu_dictionary *table,
                         void *stream);
int mill_gpu_list_words(const mill_gpu_texts *in, const mill_gpu_pieces *pieces, const mill_gpu_dictionary *table,
                        mill_gpu_row *rows, void *stream);
// encode.cu
int mill_gpu_encode(const mill_gpu_texts *in, const mill_gpu_pieces *pieces, const mill_gpu_dictionary *table,
                    const mill_gpu_encoder *encoder, void *stream);
// bpe_pairs.cu
int mill_gpu_bpe_seed(const mill_gpu_bpe *bpe, const uint32_t *byte_ids, const uint64_t *first, void *stream);
int mill_gpu_bpe_select(const mill_gpu_bpe *bpe, void *stream);
int mill_gpu_bpe_move(const mill_gpu_bpe *from, const mill_gpu_bpe *to, void *stream);
// bpe_rounds.cu
int mill_gpu_bpe_place(const mill_gpu_bpe *bpe, const uint8_t *text, const uint32_t *byte_ids,
                       uint64_t *first, void *stream);
int mill_gpu_bpe_find(const mill_gpu_bpe *bpe, const mill_gpu_bpe_batch *batch, void *stream);
int mill_gpu_bpe_merge(const mill_gpu_bpe *bpe, const mill_gpu_bpe_batch *batch, void *stream);
int mill_gpu_bpe_tell(const mill_gpu_bpe *bpe, const mill_gpu_bpe_batch *batch, mill_gpu_bpe_sum *blocks,
                      void *stream);
int mill_gpu_bpe_hear(const mill_gpu_bpe *bpe, const mill_gpu_bpe_sum *blocks, uint32_t devices, uint32_t own,
                      uint32_t number, void *stream);
}

#endif
