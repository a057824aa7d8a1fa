// test_unicode.c: the classes of code points, by counts over all of them and by telling examples.
#include <criterion/criterion.h>

#include "core/unicode.h"

static uint32_t count_alnum(uint32_t version)
{
    uint32_t count = 0;
    for (uint32_t c = 0; c < 0x110000; c++)
        count += mill_unicode_is_alnum(version, c);
    return count;
}

Test(unicode, isalnum_has_as_many_code_points_as_each_python)
{
    cr_assert_eq(count_alnum(140), 133547);
    cr_assert_eq(count_alnum(150), 137935);
    cr_assert_eq(count_alnum(151), 138557);
    cr_assert_eq(count_alnum(160), 142939);
    cr_assert_eq(count_alnum(130), 0);
}

Test(unicode, versions_only_add)
{
    for (uint32_t c = 0; c < 0x110000; c++) {
        cr_assert(mill_unicode_is_alnum(140, c) <= mill_unicode_is_alnum(150, c));
        cr_assert(mill_unicode_is_alnum(150, c) <= mill_unicode_is_alnum(151, c));
        cr_assert(mill_unicode_is_alnum(151, c) <= mill_unicode_is_alnum(160, c));
    }
    cr_assert(!mill_unicode_is_alnum(151, 0x10d4a) &&
              mill_unicode_is_alnum(160, 0x10d4a)); // a Garay letter, new in 16.0
    cr_assert(!mill_unicode_is_alnum(150, 0x2ebf0) &&
              mill_unicode_is_alnum(151, 0x2ebf0)); // extension I, new in 15.1
}

Test(unicode, isalnum_knows_the_odd_ones)
{
    static const uint32_t yes[] = {'0',  '9',  'A',    'Z',    'a',    'z',    0xaa,   0xb2,
                                   0xbd, 0xe9, 0x2167, 0x3007, 0x4e00, 0xac00, 0x1d7ce};
    static const uint32_t no[] = {'_',   '$',    ' ',    '\n',   0,       0x7f,     0x300,
                                  0x903, 0x200b, 0xd800, 0xfeff, 0x1f600, 0x110000, 0xffffffff};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        cr_assert(mill_unicode_is_alnum(140, yes[i]), "U+%04X", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        cr_assert(!mill_unicode_is_alnum(160, no[i]), "U+%04X", no[i]);
}

Test(unicode, isspace_is_white_space_and_the_separators)
{
    uint32_t spaces = 0;
    for (uint32_t c = 0; c < 0x110000; c++) {
        bool separator = c >= 0x1c && c <= 0x1f;
        cr_assert_eq(mill_unicode_is_space(c), mill_unicode_class(c) == MILL_CLASS_SPACE || separator,
                     "U+%04X", c);
        spaces += mill_unicode_is_space(c);
    }
    cr_assert_eq(spaces, 29);
    cr_assert(mill_unicode_is_space(0x85) && mill_unicode_is_space(0xa0) && mill_unicode_is_space(0x3000));
    cr_assert(!mill_unicode_is_space(0xfeff) && !mill_unicode_is_space(0x180e) &&
              !mill_unicode_is_space(0x200b));
}

Test(unicode, classes_are_those_of_the_regex_engine)
{
    uint32_t count[4] = {0}, marks = 0, numeric = 0;
    for (uint32_t c = 0; c < 0x110000; c++) {
        count[mill_unicode_class(c)]++;
        marks += mill_unicode_is_mark(c);
        numeric += mill_unicode_is_rust_numeric(c);
    }
    cr_assert_eq(count[MILL_CLASS_LETTER], 141028);
    cr_assert_eq(count[MILL_CLASS_NUMBER], 1911);
    cr_assert_eq(count[MILL_CLASS_SPACE], 25);
    cr_assert_eq(marks, 2501);
    cr_assert_eq(numeric, 1924);
    cr_assert_eq(mill_unicode_class(0x110000), MILL_CLASS_OTHER);
}
