// plan.c: the stage table. Data moves down this table and nowhere else: a PASS maps units on all threads, a BARRIER takes small
// facts of all documents (keys, counts, lengths) and returns a decision.
#include "pipeline/plan.h"

#include <stdio.h>

enum { ALL = 1 << MILL_STAGES_ALL, FILTER = 1 << MILL_STAGES_FILTER, DEDUP = 1 << MILL_STAGES_DEDUP, TRAIN = 1 << MILL_STAGES_TRAIN,
       ENCODE = 1 << MILL_STAGES_ENCODE, PACK = 1 << MILL_STAGES_PACK };
#define EVERY (ALL | FILTER | DEDUP | TRAIN | ENCODE)

// Below this, what a stage freed is given back before the next one begins; above, keeping it is faster.
#define SMALL_MEMORY (UINT64_C(2) << 30)

typedef struct stage {
    const char *name;
    enum { PASS, BARRIER } kind;
    mill_status (*run)(mill_run_state *run, mill_error *err);
    int sets;     // bits of the stage sets it belongs to
    double cost;  // relative time of a usual run, for progress
    const char *what;
} stage;

static const stage stages[] = {
    {"ingest",  PASS,    mill_pass_ingest,   EVERY,                 7, "read, normalise, filter -> segments"},
    {"rows",    PASS,    mill_pass_read_rows, PACK,                 40, "read rows of token ids -> token units"},
    {"group",   BARRIER, mill_barrier_group, EVERY,                 1,  "find records with the same content"},
    {"check",   PASS,    mill_pass_check,    EVERY,                 3, "syntax check, MinHash signatures -> sketches"},
    {"dedup",   BARRIER, mill_barrier_dedup, EVERY,                 1,  "draws, exact and near duplicates -> verdicts, clusters"},
    {"records", PASS,    mill_pass_records,  FILTER | DEDUP,        5, "kept records -> records/"},
    {"train",   PASS,    mill_pass_train,    ALL | TRAIN | ENCODE,  10, "count words, merge -> tokenizer/"},
    {"imports", PASS,    mill_pass_imports,  ALL | ENCODE,          1,  "imports of the files of repositories (repo.sequence)"},
    {"repos",   BARRIER, mill_barrier_repos, ALL | ENCODE,          0,  "files of repositories in order (repo.sequence)"},
    {"encode",  PASS,    mill_pass_encode,   ALL | ENCODE,          6, "FIM, token ids -> token units"},
    {"pack",    BARRIER, mill_barrier_pack,  ALL | ENCODE | PACK,   1,  "mixture, order, samples"},
    {"rows",    PASS,    mill_pass_rows,     ENCODE,                5,  "rows of token ids -> rows/"},
    {"shards",  PASS,    mill_pass_shards,   ALL | PACK,            5,  "samples, documents -> shards*/, docs/"},
    {"finish",  BARRIER, mill_pass_finish,   EVERY | PACK,          1,  "accounting, metrics, sums, manifest"},
};
enum { STAGE_COUNT = sizeof stages / sizeof stages[0] };

mill_status mill_plan_run(mill_run_state *run, mill_error *err)
{
    for (run->stage = 0; run->stage < STAGE_COUNT; run->stage++) {
        const stage *s = &stages[run->stage];
        if ((s->sets & 1 << run->stages) == 0)
            continue;
        if (run->options->stop != NULL && *run->options->stop != 0)
            return mill_fail_stopped_at(err, "before stage %s", s->name);
        MILL_TRY(s->run(run, err));
        if (run->memory_bytes < SMALL_MEMORY)
            mill_alloc_trim();
    }
    return MILL_OK;
}

// Relative time of a stage in this run: the syntax check takes ten times the rest when it is on.
static double cost_of(const mill_run_state *run, const stage *s)
{
    if (s->run == mill_pass_check && run->recipe.filter.enabled && run->recipe.syntax.mode != MILL_SYNTAX_OFF)
        return 90.0;
    if (s->run == mill_pass_train && run->tokenizer_given.bytes != 0)
        return 0.0;
    return s->cost;
}

double mill_plan_fraction(const mill_run_state *run, double within)
{
    double done = 0.0, whole = 0.0;
    // Training has two parts, words and merges, of about equal cost.
    if (run->stage < STAGE_COUNT && stages[run->stage].run == mill_pass_train)
        within = (within + (run->part.number != 0 ? 1.0 : 0.0)) / 2.0;
    for (uint32_t i = 0; i < STAGE_COUNT; i++) {
        if ((stages[i].sets & 1 << run->stages) == 0)
            continue;
        whole += cost_of(run, &stages[i]);
        if (i < run->stage)
            done += cost_of(run, &stages[i]);
        else if (i == run->stage)
            done += cost_of(run, &stages[i]) * within;
    }
    return whole > 0.0 ? done / whole : 0.0;
}

mill_status mill_plan_describe(mill_stage_set set, mill_buf *out, mill_error *err)
{
    for (size_t i = 0; i < STAGE_COUNT; i++) {
        if ((stages[i].sets & 1 << set) != 0)
            MILL_TRY(mill_buf_printf(out, err, "  %-8s %-8s %s\n", stages[i].name, stages[i].kind == PASS ? "pass" : "barrier",
                                     stages[i].what));
    }
    return MILL_OK;
}
