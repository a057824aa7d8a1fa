// fetch_none.c: collect and upload of a build without libcurl.
#include "core/status.h"

static mill_status missing(mill_error *err)
{
    return mill_fail(err, MILL_USAGE,
                     "this build has no libcurl, so it can neither collect nor upload; install "
                     "libcurl4-openssl-dev and build again");
}

mill_status mill_collect(const mill_collect_options *options, mill_collect_summary *summary, mill_error *err)
{
    (void)options;
    *summary = (mill_collect_summary){0};
    return missing(err);
}

mill_status mill_collect_list(const mill_collect_options *options, bool json, mill_text *out, mill_error *err)
{
    (void)options, (void)json;
    *out = (mill_text){0};
    return missing(err);
}

mill_status mill_upload(const mill_upload_options *options, mill_upload_summary *summary, mill_error *err)
{
    (void)options;
    *summary = (mill_upload_summary){0};
    return missing(err);
}
