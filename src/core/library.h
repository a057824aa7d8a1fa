// library.h: shared objects of ours that are opened when they are wanted, so that one program serves machines
// with and without what they need.
#ifndef MILL_CORE_LIBRARY_H
#define MILL_CORE_LIBRARY_H

#include <stddef.h>

// Opens `file` beside the program, above it (a build's tests) or where `make install` puts it, else wherever
// the dynamic linker looks, and returns the address of `symbol`. NULL: why[capacity] says what was wrong.
// What was opened stays open.
void *mill_library_symbol(const char *file, const char *symbol, char *why, size_t capacity);

#endif
