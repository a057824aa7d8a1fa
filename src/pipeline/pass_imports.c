// pass_imports.c: what the files of repositories import, where the recipe wants sequences. One unit a
// segment; the product is a row for each kept file: its head, then repository, path, names of imports,
// imports. barrier_repos.c reads them.
#include <stdio.h>
#include <string.h>

#include "pipeline/repos.h"

typedef struct import_worker {
    mill_batch batch;
    mill_buf out;
    mill_imports imports;
} import_worker;

static void close_worker(void *context, void *state)
{
    (void)context;
    import_worker *w = state;
    mill_batch_free(&w->batch);
    mill_buf_free(&w->out);
    mill_imports_free(&w->imports);
    mill_free(w);
}

static mill_status open_worker(void *context, uint32_t number, void **state, mill_error *err)
{
    (void)context;
    (void)number;
    import_worker *w = mill_alloc_zero(1, sizeof *w);
    if (w == NULL)
        return mill_fail_nomem(err, "starting a scanner");
    mill_batch_init(&w->batch);
    *state = w;
    return MILL_OK;
}

static mill_status append_row(mill_run_state *run, import_worker *w, uint64_t doc, uint32_t i,
                              mill_error *err)
{
    const mill_batch *b = &w->batch;
    const mill_imports *imports = &w->imports;
    uint64_t bytes;
    const uint8_t *text = mill_batch_text(b, i, &bytes);
    mill_imports_clear(&w->imports);
    MILL_TRY(mill_imports_scan(mill_language_get(run->languages, b->language[i])->name, text, bytes,
                               &w->imports, err));
    const mill_import_row head = {.doc = doc,
                                  .repo_bytes = b->repo[i].bytes,
                                  .path_bytes = b->path[i].bytes,
                                  .name_bytes = (uint32_t)imports->names.bytes,
                                  .imports = (uint32_t)imports->count};
    MILL_TRY(mill_buf_append(&w->out, &head, sizeof head, err));
    MILL_TRY(mill_buf_append(&w->out, mill_batch_meta(b, b->repo[i]), head.repo_bytes, err));
    MILL_TRY(mill_buf_append(&w->out, mill_batch_meta(b, b->path[i]), head.path_bytes, err));
    MILL_TRY(mill_buf_append(&w->out, imports->names.data, imports->names.bytes, err));
    for (size_t k = 0; k < imports->count; k++) {
        mill_import import;
        memset(&import, 0, sizeof import); // padding reaches the disk
        import.offset = imports->items[k].offset;
        import.bytes = imports->items[k].bytes;
        import.kind = imports->items[k].kind;
        import.level = imports->items[k].level;
        MILL_TRY(mill_buf_append(&w->out, &import, sizeof import, err));
    }
    return MILL_OK;
}

void mill_imports_path(uint64_t number, char path[64])
{
    snprintf(path, 64, MILL_STATE "/stage/imports/%06llu.imports", (unsigned long long)number);
}

static mill_status scan_unit(void *context, void *state, uint64_t number, mill_error *err)
{
    mill_run_state *run = context;
    import_worker *w = state;
    const uint64_t first = run->unit_first[number];
    mill_run_advance(run, run->unit_first[number + 1] - first);
    if (mill_workdir_done(run->dir, "imports", number) != NULL)
        return MILL_OK;
    MILL_TRY(mill_run_load_segment(run, number, &w->batch, err));
    mill_buf_clear(&w->out);
    for (uint32_t i = 0; i < w->batch.count; i++)
        if (mill_repo_takes(run, first + i) && w->batch.repo[i].bytes != 0)
            MILL_TRY(append_row(run, w, first + i, i, err));
    mill_unit unit;
    char path[64];
    mill_unit_init(&unit, "imports", number);
    mill_imports_path(number, path);
    mill_status status = mill_unit_add(run->dir, &unit, path, &w->out, err);
    if (status != MILL_OK) {
        mill_unit_abort(run->dir, &unit);
        return status;
    }
    return mill_unit_commit(run->dir, &unit, err);
}

bool mill_repo_takes(const mill_run_state *run, uint64_t doc)
{
    // Posts have their site in the place of a repository, and are no files of it.
    return run->docs[doc].verdict == MILL_KEPT && (run->docs[doc].flags & MILL_FLAG_CHAT) == 0 &&
           run->docs[doc].type != MILL_TYPE_QA;
}

mill_status mill_pass_imports(mill_run_state *run, mill_error *err)
{
    if (!run->recipe.encode.repo.sequence)
        return MILL_OK;
    mill_run_part(run, "read imports", "records", run->doc_count);
    const mill_map map = {.threads = run->threads,
                          .units = run->unit_count,
                          .stop = run->options->stop,
                          .context = run,
                          .open = open_worker,
                          .close = close_worker,
                          .work = scan_unit};
    return mill_map_run(&map, err);
}
