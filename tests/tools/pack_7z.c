// pack_7z.c: writes files into a 7z archive, under their base names: Python cannot.
#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int add(struct archive *out, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL || fseek(f, 0, SEEK_END) != 0)
        return 1;
    long bytes = ftell(f);
    rewind(f);
    char *data = malloc((size_t)bytes + 1);
    if (data == NULL || fread(data, 1, (size_t)bytes, f) != (size_t)bytes)
        return 1;
    fclose(f);
    const char *slash = strrchr(path, '/');
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, slash != NULL ? slash + 1 : path);
    archive_entry_set_size(entry, bytes);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    int bad = archive_write_header(out, entry) != ARCHIVE_OK || archive_write_data(out, data, (size_t)bytes) != bytes;
    archive_entry_free(entry);
    free(data);
    return bad;
}

int main(int count, char **arguments)
{
    struct archive *out = archive_write_new();
    if (count < 3 || archive_write_set_format_7zip(out) != ARCHIVE_OK ||
        archive_write_open_filename(out, arguments[1]) != ARCHIVE_OK)
        return 2;
    for (int i = 2; i < count; i++)
        if (add(out, arguments[i]) != 0)
            return 1;
    return archive_write_free(out) == ARCHIVE_OK ? 0 : 1; // which closes it
}
