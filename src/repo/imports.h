// imports.h: what a file of a repository says it needs: light scanners for the imports of Python, JavaScript,
// TypeScript, Java, C, C++, C# and Go. They know comments and strings of their language and the shape of its
// import statements, and nothing else: any bytes may come, what does not look like an import is none, and the
// cost is linear in the text.
#ifndef MILL_REPO_IMPORTS_H
#define MILL_REPO_IMPORTS_H

#include "core/alloc.h"

typedef enum mill_import_kind {
    MILL_IMPORT_MODULE,    // Python: "a.b"; level: leading dots
    MILL_IMPORT_PATH,      // JavaScript, TypeScript: "./a", "../b", "@/c"
    MILL_IMPORT_CLASS,     // Java: "a.b.C", or a member of it
    MILL_IMPORT_PACKAGE,   // Java: "a.b" of "a.b.*"
    MILL_IMPORT_QUOTED,    // C, C++: "a.h"
    MILL_IMPORT_ANGLED,    // C, C++: <a/b.h>
    MILL_IMPORT_NAMESPACE, // C#: using
    MILL_IMPORT_DECLARED,  // C#: a namespace that the file itself is part of
    MILL_IMPORT_GO,        // Go: "example.com/a/b"
    MILL_IMPORT_KINDS
} mill_import_kind;

#define MILL_IMPORTS_MAX 256     // of a file; later ones are not looked at
#define MILL_IMPORT_NAME_MAX 255 // longer names are none

typedef struct mill_import {
    uint32_t offset; // of the name in names
    uint8_t bytes;
    uint8_t kind;  // mill_import_kind
    uint8_t level; // Python: at most 255
} mill_import;

typedef struct mill_imports { // zero-initialised is empty
    mill_buf names;
    mill_import *items;
    size_t count, capacity;
} mill_imports;
void mill_imports_clear(mill_imports *imports);
void mill_imports_free(mill_imports *imports);

// Appends the imports of a text in the order in which they stand; none if there is no scanner for the
// language (a canonical name).
mill_status mill_imports_scan(const char *language, const uint8_t *text, uint64_t bytes, mill_imports *out,
                              mill_error *err) MILL_MUST_CHECK;

#endif
