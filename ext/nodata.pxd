# The value that stands for "no data", with which sparse strips and tiles are filled.
#
# The rule is that of GDAL 3.10, measured with rasterio 1.4 (tests/test_nodata.py holds it to
# that). GDAL reads the text of tag 42113 without regard to the locale: as a decimal number with
# a point, or with a comma where a comma comes first among the first 50 characters; never as
# hexadecimal. What follows the number is ignored, and what is no number is 0. Integers of 64
# bits are read as C's strtoll and strtoull read them, so that none is rounded.

from libc.math cimport INFINITY, NAN, ceil, fabs, floor, frexp, rint
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport strtod
from libc.string cimport memcpy, memset, strlen

from dtype cimport DType, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64
from tags cimport Entry, Source, value

cdef enum:
    # Digits that decide how a number is rounded to 64 bits: 768 at most.
    MAX_DIGITS = 780
    # A decimal exponent beyond which every number of MAX_DIGITS is 0 or infinite.
    MAX_EXPONENT = 1000000000
    # Characters among which GDAL looks for a decimal comma.
    COMMA_WITHIN = 50

cdef struct Text:
    const Source *source
    Entry entry


cdef inline double clamped(double x, double least, double most) noexcept nogil:
    """Nearest whole number inside a type's range; NaN becomes 0, as in GDAL."""
    if x != x:
        return 0
    if x <= least:
        return least
    if x >= most:
        return most
    return floor(x + 0.5) if x >= 0 else ceil(x - 0.5)


cdef inline uint16_t half(double x) noexcept nogil:
    """The bits of the nearest 16-bit float (IEEE 754 binary16, ties to even)."""
    cdef int exponent
    cdef uint16_t sign = 0x8000 if x < 0 else 0
    cdef double fraction
    if x != x:
        return 0x7E00
    x = fabs(x)
    if x >= 65520:
        return sign | 0x7C00
    if x < 6.103515625e-05:
        return sign | <uint16_t>rint(x * 16777216)
    fraction = frexp(x, &exponent)
    # A fraction that rounds up to the next power of two carries into the exponent.
    return sign | <uint16_t>(((exponent + 14) << 10) + <int>rint(fraction * 2048) - 1024)


cdef inline bint open_text(Text *text, const Source *source, const Entry *entry) noexcept nogil:
    """Whether the tag holds text for libtiff: of any integer type, every value a character."""
    cdef uint64_t i
    text.source = source
    text.entry = entry[0]
    if entry.count == 0:
        return False
    # ASCII and UNDEFINED are bytes, as BYTE is.
    if entry.type in (1, 2, 7):
        text.entry.type = 1
        return True
    if entry.type not in (3, 4, 6, 8, 9, 16, 17):
        return False
    for i in range(entry.count):
        # A negative number is a large one when it is read without its sign.
        if character_code(text, i) > (127 if entry.type == 6 else 255):
            return False
    return True


cdef inline uint64_t character_code(const Text *text, uint64_t i) noexcept nogil:
    return value(text.source, &text.entry, i)


cdef inline uint8_t character(const Text *text, uint64_t i) noexcept nogil:
    """The i-th character; 0 behind the last one."""
    return <uint8_t>character_code(text, i) if i < text.entry.count else 0


cdef inline bint is_digit(uint8_t c) noexcept nogil:
    return c"0" <= c <= c"9"


cdef inline uint8_t decimal_point(const Text *text) noexcept nogil:
    cdef uint64_t i
    cdef uint8_t c
    for i in range(COMMA_WITHIN):
        c = character(text, i)
        if c == c",":
            return c
        if c == c"." or c == 0:
            break
    return c"."


cdef inline bint begins(const Text *text, uint64_t at, const char *word, bint whole) noexcept nogil:
    """Whether a word stands at a place; with nothing behind it if it must be the ``whole`` rest."""
    cdef uint64_t i, n = strlen(word)
    for i in range(n):
        if character(text, at + i) != <uint8_t>word[i]:
            return False
    return not whole or character(text, at + n) == 0


cdef inline bint begins_infinity(const Text *text, uint64_t at) noexcept nogil:
    """Whether "1.#INF" of old Windows libraries stands at a place, in either case."""
    cdef const char *word = "1.#inf"
    cdef uint64_t i
    cdef uint8_t c
    for i in range(6):
        c = character(text, at + i)
        if c != <uint8_t>word[i] and not (c"A" <= c <= c"Z" and c + 32 == <uint8_t>word[i]):
            return False
    return True


cdef inline double special(const Text *text, uint64_t at, bint negative) noexcept nogil:
    """Infinity or NaN where a text spells it as GDAL knows it, else 0."""
    if (
        begins(text, at, "inf", True) or begins(text, at, "Inf", True)
        or begins(text, at, "INF", True) or begins(text, at, "Infinity", True)
    ):
        return -INFINITY if negative else INFINITY
    if not negative and (begins(text, at, "nan", True) or begins(text, at, "NaN", True)):
        return NAN
    return 0


cdef inline double read_double(const Text *text) noexcept nogil:
    """The number that the text begins with, correctly rounded; 0 where it begins with none."""
    # Without a decimal point, the only part of a number that strtod reads by the locale.
    cdef char digits[MAX_DIGITS + 32]
    cdef uint8_t point = decimal_point(text)
    cdef uint8_t c
    cdef uint64_t at = 0, mark
    cdef int64_t exponent = 0, written = 0
    cdef int kept = 0
    cdef bint negative = False, below = False, found = False, rest = False, downwards
    while character(text, at) in (c" ", c"\t", c"\r", c"\n"):
        at += 1
    if begins(text, at, "-1.#QNAN", False) or begins(text, at, "-1.#IND", False):
        return NAN
    if begins(text, at, "1.#QNAN", False) or begins(text, at, "1.#SNAN", False):
        return NAN
    if begins_infinity(text, at):
        return INFINITY
    if character(text, at) == c"-" and begins_infinity(text, at + 1):
        return -INFINITY
    if character(text, at) == c"+":
        at += 1
    if character(text, at) == c"-":
        negative = True
        at += 1
    mark = at
    while True:
        c = character(text, at)
        if c == point and not below:
            below = True
        elif is_digit(c):
            found = True
            if kept == 0 and c == c"0":
                exponent -= below
            elif kept < MAX_DIGITS:
                digits[kept] = <char>c
                kept += 1
                exponent -= below
            else:
                rest = rest or c != c"0"
                exponent += not below
        else:
            break
        at += 1
    if not found:
        return special(text, mark, negative)
    if character(text, at) in (c"e", c"E"):
        at += 1
        downwards = character(text, at) == c"-"
        if character(text, at) in (c"+", c"-"):
            at += 1
        while is_digit(character(text, at)):
            written = min(10 * written + character(text, at) - c"0", <int64_t>MAX_EXPONENT)
            at += 1
        exponent += -written if downwards else written
    if kept == 0:
        return -0.0 if negative else 0.0
    if rest:
        # More than the digits kept, however little.
        digits[kept] = c"1"
        kept += 1
        exponent -= 1
    snprintf(digits + kept, 32, "e%lld", <long long>exponent)
    return -strtod(digits, NULL) if negative else strtod(digits, NULL)


cdef inline uint64_t read_integer(const Text *text, bint signed_) noexcept nogil:
    """The integer that the text begins with, as strtoll or strtoull reads it; its bits."""
    cdef uint64_t at = 0, n = 0, most = ~<uint64_t>0
    cdef bint negative = False, over = False
    cdef uint8_t c
    while character(text, at) == c" " or c"\t" <= character(text, at) <= c"\r":
        at += 1
    if character(text, at) in (c"+", c"-"):
        negative = character(text, at) == c"-"
        at += 1
    if signed_:
        most = (<uint64_t>1 << 63) - (0 if negative else 1)
    while is_digit(character(text, at)):
        c = character(text, at) - c"0"
        if over or n > (most - c) // 10:
            over = True
        else:
            n = 10 * n + c
        at += 1
    if over:
        return <uint64_t>1 << 63 if signed_ and negative else most
    return 0 - n if negative else n


cdef inline void read_nodata(
    const Source *source, const Entry *entry, DType dtype, uint64_t itemsize, uint8_t *sample
) noexcept nogil:
    """Keep GDAL's nodata value (tag 42113, text) as one sample of 8 bytes at most, else 0."""
    cdef Text text
    cdef double x
    cdef int64_t i64
    cdef uint64_t u64
    cdef float f32
    memset(sample, 0, 8)
    if not open_text(&text, source, entry):
        return
    if dtype in (I64, U64):
        u64 = read_integer(&text, dtype == I64)
        memcpy(sample, &u64, 8)
        return
    x = read_double(&text)
    if dtype == F64:
        memcpy(sample, &x, 8)
    elif dtype == F32:
        f32 = <float>x
        memcpy(sample, &f32, 4)
    elif dtype == F16:
        u64 = half(x)
        memcpy(sample, &u64, 2)
    elif dtype in (U8, U16, U32):
        u64 = <uint64_t>clamped(
            x, 0, 255 if dtype == U8 else 65535 if dtype == U16 else 4294967295)
        memcpy(sample, &u64, itemsize)
    elif dtype in (I8, I16, I32):
        i64 = <int64_t>clamped(
            x,
            -128 if dtype == I8 else -32768 if dtype == I16 else -2147483648,
            127 if dtype == I8 else 32767 if dtype == I16 else 2147483647)
        memcpy(sample, &i64, itemsize)
