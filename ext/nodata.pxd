# The value that stands for "no data", with which sparse strips and tiles are filled.

from libc.math cimport ceil, fabs, floor, frexp, rint
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t
from libc.stdlib cimport strtod, strtoll, strtoull
from libc.string cimport memcpy, memset

from dtype cimport DType, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64
from tags cimport Entry, Source


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


cdef inline void read_nodata(
    const Source *source, const Entry *entry, DType dtype, uint64_t itemsize, uint8_t *sample
) noexcept nogil:
    """Keep GDAL's nodata value (tag 42113, text) as one sample of 8 bytes at most, else 0."""
    cdef char text[512]
    cdef char *end
    cdef uint64_t n = entry.count
    cdef double x
    cdef int64_t i64
    cdef uint64_t u64
    cdef float f32
    memset(sample, 0, 8)
    if n == 0 or entry.type != 2:
        return
    n = min(n, sizeof(text) - 1)
    memcpy(text, source.data + entry.at, n)
    text[n] = 0
    x = strtod(text, &end)
    if end == text:
        return
    if dtype == I64:
        i64 = strtoll(text, NULL, 10)
        memcpy(sample, &i64, 8)
    elif dtype == U64:
        u64 = 0 if x < 0 else strtoull(text, NULL, 10)
        memcpy(sample, &u64, 8)
    elif dtype == F64:
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
