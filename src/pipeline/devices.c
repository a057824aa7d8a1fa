// devices.c: what can compute here, and with which libraries: `shardmill devices`.
#include <cjson/cJSON.h>
#ifdef MILL_HAVE_CURL
#include <curl/curl.h>
#endif
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utf8proc.h>
#include <xxhash.h>
#include <yyjson.h>
#include <zlib.h>
#include <zstd.h>

#include "core/parquet_load.h"
#include "backend/gpu.h"
#include "backend/ops.h"
#include "backend/sha1.h"
#include "filter/syntax.h"
#include "pipeline/document.h"
#include "pipeline/finished.h"
#include "source/source.h"

enum { TEXT_MAX = 160, FEATURE_COUNT = 4, LIBRARY_COUNT = 8 };

typedef struct feature {
    const char *name, *used_by;
    bool present;
} feature;

typedef struct library {
    const char *name;
    char version[TEXT_MAX];
} library;

typedef struct machine {
    char model[TEXT_MAX];
    long cores;
    uint64_t memory_bytes, free_bytes;
    feature features[FEATURE_COUNT];
    library libraries[LIBRARY_COUNT];
    char python[512]; // empty: not found
    mill_buf gpus;    // lines of mill_gpus_describe
    mill_buf exchange;
} machine;

// The processor's name as Linux tells it, "unknown" elsewhere.
static void find_model(char model[TEXT_MAX])
{
    mill_buf text = {0};
    snprintf(model, TEXT_MAX, "unknown");
    const mill_fs *fs = mill_fs_posix();
    if (mill_fs_read_file(fs, MILL_FS_CWD, "/proc/cpuinfo", MILL_OPEN_READ, 16u << 20, &text, NULL) == MILL_OK &&
        mill_buf_append(&text, "", 1, NULL) == MILL_OK) {
        const char *line = strstr((const char *)text.data, "model name");
        const char *colon = line != NULL ? strchr(line, ':') : NULL;
        if (colon != NULL)
            snprintf(model, TEXT_MAX, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
    }
    mill_buf_free(&text);
}

// The processor's features that code of ours asks for, by the same questions.
static void find_features(feature features[FEATURE_COUNT])
{
    features[0] = (feature){.name = "AVX2", .used_by = "text statistics, marker search"};
    features[1] = (feature){.name = "AVX2+BMI2", .used_by = "MinHash signatures"};
    features[2] = (feature){.name = "SHA-NI", .used_by = "SHA-1 of MinHash tokens"};
    features[3] = (feature){.name = "AVX-512", .used_by = "nothing in this build"};
    features[1].present = mill_minhash_avx2_supported();
    features[2].present = mill_sha1_select() == mill_sha1_ni;
#if defined __x86_64__
    features[0].present = __builtin_cpu_supports("avx2") != 0;
    features[3].present = __builtin_cpu_supports("avx512f") != 0;
#endif
}

static void find_libraries(library libraries[LIBRARY_COUNT])
{
    const uint32_t yyjson = yyjson_version(), xxhash = XXH_versionNumber();
    const char *crypto = OpenSSL_version(OPENSSL_VERSION);
    libraries[0].name = "zstd";
    snprintf(libraries[0].version, TEXT_MAX, "%s", ZSTD_versionString());
    libraries[1].name = "zlib";
    snprintf(libraries[1].version, TEXT_MAX, "%s", zlibVersion());
    libraries[2].name = "yyjson";
    snprintf(libraries[2].version, TEXT_MAX, "%u.%u.%u", yyjson >> 16, yyjson >> 8 & 255, yyjson & 255);
    libraries[3].name = "cJSON";
    snprintf(libraries[3].version, TEXT_MAX, "%s", cJSON_Version());
    libraries[4].name = "utf8proc";
    snprintf(libraries[4].version, TEXT_MAX, "%s", utf8proc_version());
    libraries[5].name = "libcrypto";
    snprintf(libraries[5].version, TEXT_MAX, "%s", crypto);
    libraries[6].name = "xxhash";
    snprintf(libraries[6].version, TEXT_MAX, "%u.%u.%u", xxhash / 10000, xxhash / 100 % 100, xxhash % 100);
    libraries[7].name = "libcurl";
#ifdef MILL_HAVE_CURL
    snprintf(libraries[7].version, TEXT_MAX, "%s", curl_version_info(CURLVERSION_NOW)->version);
#else
    snprintf(libraries[7].version, TEXT_MAX, "none (collect and upload are off)");
#endif
}

// The first python3 of PATH, as the syntax check by real interpreters would start it.
static void find_python(char path[512])
{
    const mill_fs *fs = mill_fs_posix();
    const char *list = getenv("PATH");
    path[0] = '\0';
    while (list != NULL && *list != '\0') {
        size_t bytes = strcspn(list, ":");
        mill_file_info info;
        snprintf(path, 512, "%.*s/python3", (int)(bytes < 480 ? bytes : 480), list);
        if (bytes != 0 && fs->ops->info(fs->self, MILL_FS_CWD, path, true, &info) >= 0 && info.kind == MILL_FILE_REGULAR)
            return;
        list += bytes + (list[bytes] == ':');
    }
    path[0] = '\0';
}

static mill_status look(machine *m, mill_error *err)
{
    *m = (machine){.cores = sysconf(_SC_NPROCESSORS_ONLN)};
    long pages = sysconf(_SC_PHYS_PAGES), free_pages = sysconf(_SC_AVPHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page > 0)
        m->memory_bytes = (uint64_t)pages * (uint64_t)page;
    if (free_pages > 0 && page > 0)
        m->free_bytes = (uint64_t)free_pages * (uint64_t)page;
    find_model(m->model);
    find_features(m->features);
    find_libraries(m->libraries);
    find_python(m->python);
    MILL_TRY(mill_gpus_describe("cuda", &m->gpus, err));
    MILL_TRY(mill_buf_append(&m->gpus, "", 1, err));
    MILL_TRY(mill_gpus_describe_exchange("cuda", &m->exchange, err));
    return mill_buf_append(&m->exchange, "", 1, err);
}

// The lines about GPUs; empty where they say why there is none.
static cJSON *gpus_json(const machine *m)
{
    cJSON *list = cJSON_CreateArray();
    const char *line = (const char *)m->gpus.data;
    bool good = list != NULL;
    while (good && *line != '\0' && strncmp(line, "none", 4) != 0) {
        char text[TEXT_MAX];
        size_t bytes = strcspn(line, "\n");
        snprintf(text, sizeof text, "%.*s", (int)bytes, line);
        good = cJSON_AddItemToArray(list, cJSON_CreateString(text));
        line += bytes + (line[bytes] == '\n');
    }
    if (!good) {
        cJSON_Delete(list);
        return NULL;
    }
    return list;
}

static const char no_ranks[] = "not in this build";

static cJSON *features_json(const machine *m)
{
    cJSON *list = cJSON_CreateArray();
    bool good = list != NULL;
    for (size_t i = 0; good && i < FEATURE_COUNT; i++) {
        cJSON *row = cJSON_CreateObject();
        good = cJSON_AddItemToArray(list, row) && mill_document_text(row, "name", m->features[i].name) &&
               mill_document_flag(row, "present", m->features[i].present) &&
               mill_document_text(row, "used_by", m->features[i].used_by);
    }
    if (!good) {
        cJSON_Delete(list);
        return NULL;
    }
    return list;
}

static cJSON *libraries_json(const machine *m)
{
    cJSON *object = cJSON_CreateObject();
    for (size_t i = 0; object != NULL && i < LIBRARY_COUNT; i++) {
        if (!mill_document_text(object, m->libraries[i].name, m->libraries[i].version)) {
            cJSON_Delete(object);
            return NULL;
        }
    }
    return object;
}

static mill_status machine_document(const machine *m, mill_text *out, mill_error *err)
{
    cJSON *json = cJSON_CreateObject(), *cpu = cJSON_CreateObject();
    bool good = mill_document_text(cpu, "model", m->model) && mill_document_number(cpu, "cores", (double)m->cores) &&
                mill_document_item(cpu, "features", features_json(m));
    good = mill_document_item(json, "cpu", cpu) && good && mill_document_number(json, "schema", 1) &&
           mill_document_text(json, "version", MILL_VERSION) &&
           mill_document_number(json, "memory_bytes", (double)m->memory_bytes) &&
           mill_document_number(json, "free_memory_bytes", (double)m->free_bytes) &&
           mill_document_item(json, "backends", cJSON_CreateStringArray((const char *const[]){"cpu", "ref"}, 2)) &&
           mill_document_text(json, "auto_backend", mill_backend_find("auto")->name) &&
           mill_document_item(json, "gpus", gpus_json(m)) && mill_document_text(json, "gpu", (const char *)m->gpus.data) &&
           mill_document_text(json, "exchange", (const char *)m->exchange.data) &&
           mill_document_text(json, "mpi", no_ranks) && mill_document_text(json, "grammars", mill_syntax_description()) &&
           mill_document_text(json, "parquet", mill_parquet_description()) &&
           mill_document_text(json, "python3", m->python) && mill_document_item(json, "libraries", libraries_json(m));
    if (!good) {
        cJSON_Delete(json);
        json = NULL;
    }
    return mill_document_finish(json, out, err);
}

static mill_status machine_text(const machine *m, mill_buf *out, mill_error *err)
{
    MILL_TRY(mill_buf_printf(out, err, "processor    %s, %ld cores\n", m->model, m->cores));
    for (size_t i = 0; i < FEATURE_COUNT; i++)
        MILL_TRY(mill_buf_printf(out, err, "  %-10s %-3s  %s\n", m->features[i].name, m->features[i].present ? "yes" : "no",
                                 m->features[i].used_by));
    MILL_TRY(mill_buf_printf(out, err, "memory       %.1f GiB, %.1f GiB free\n", (double)m->memory_bytes / (1024.0 * 1024 * 1024),
                             (double)m->free_bytes / (1024.0 * 1024 * 1024)));
    MILL_TRY(mill_buf_printf(out, err, "backends     cpu, ref (plain C); auto is %s, or the GPUs below\n",
                             mill_backend_find("auto")->name));
    for (const char *line = (const char *)m->gpus.data; *line != '\0'; line += strcspn(line, "\n") + 1)
        MILL_TRY(mill_buf_printf(out, err, "GPU          %.*s\n", (int)strcspn(line, "\n"), line));
    if (*m->exchange.data != '\0')
        MILL_TRY(mill_buf_printf(out, err, "between GPUs %s\n", (const char *)m->exchange.data));
    MILL_TRY(mill_buf_printf(out, err, "MPI ranks    %s\n", no_ranks));
    MILL_TRY(mill_buf_printf(out, err, "grammars     %s\nParquet      %s\npython3      ", mill_syntax_description(),
                             mill_parquet_description()));
    MILL_TRY(m->python[0] != '\0' ? mill_append_escaped(out, m->python, strlen(m->python), false, err)
                                  : mill_buf_append_text(out, "not found; filter.syntax=cpython needs it", err));
    MILL_TRY(mill_buf_append_text(out, "\nlibraries   ", err));
    for (size_t i = 0; i < LIBRARY_COUNT; i++)
        MILL_TRY(mill_buf_printf(out, err, "%s %s %s", i != 0 ? "," : "", m->libraries[i].name, m->libraries[i].version));
    return mill_buf_append_text(out, "\n", err);
}

mill_status mill_devices(bool json, mill_text *out, mill_error *err)
{
    machine m = {0};
    mill_buf text = {0};
    *out = (mill_text){0};
    mill_status status = look(&m, err);
    if (status == MILL_OK && json)
        status = machine_document(&m, out, err);
    else if (status == MILL_OK)
        status = machine_text(&m, &text, err);
    if (status == MILL_OK && !json)
        status = mill_text_take(&text, out, err);
    mill_buf_free(&text);
    mill_buf_free(&m.gpus);
    mill_buf_free(&m.exchange);
    return status;
}
