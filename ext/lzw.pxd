# LZW as TIFF has it (TIFF 6.0, section 13): codes of 9 to 12 bits, most significant
# bit first, each made wider one code early. A code adds the string before it and
# the byte behind that. Most strings of images are short: the first eight bytes of
# each are kept in a word, so that most codes are one store; the rest of a long one
# is copied from where it stood last in the output.
#
# Only what is beyond doubt is decoded. Whatever is not (old-style codes, data that
# do not begin with a clear code, ends, codes that cannot be) is left to libtiff.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef enum:
    CLEAR = 256
    END = 257
    FIRST = 258
    CODES = 4096

cdef struct Strings:
    uint64_t head[CODES]     # the first bytes of a code's string, the first one lowest
    uint32_t at[CODES]       # where the string stands in the output
    uint16_t length[CODES]


cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    static inline uint64_t big_endian_(const uint8_t *from)
    {
        uint64_t word;
        memcpy(&word, from, 8);
        return __builtin_bswap64(word);
    }
    """
    uint64_t big_endian_(const uint8_t *from_) nogil


cdef inline void open_strings(Strings *strings) noexcept nogil:
    """Set the strings of one byte, which never change."""
    cdef uint32_t code
    for code in range(CLEAR):
        strings.head[code] = code
        strings.length[code] = 1


cdef inline uint32_t next_code(
    const uint8_t *data, uint64_t stored, uint64_t bit, uint32_t width
) noexcept nogil:
    # The code at a bit; zeros stand for what is behind the end.
    cdef uint8_t tail[8]
    cdef uint64_t word, k, at = bit >> 3
    if at + 8 <= stored:
        word = big_endian_(data + at)
    else:
        for k in range(8):
            tail[k] = data[at + k] if at + k < stored else 0
        word = big_endian_(tail)
    return <uint32_t>((word << (bit & 7)) >> (64 - width))


cdef inline bint unpack(
    Strings *strings, const uint8_t *data, uint64_t stored, uint8_t *to, uint64_t size
) noexcept nogil:
    """Decode until there are ``size`` bytes; whether that was done without any doubt."""
    cdef uint64_t bit = 0, bits = 8 * stored
    cdef uint64_t out = 0, n, k
    cdef uint32_t code, free_code = FIRST, width = 9
    # The string before: its first bytes, length and place; no length behind a clear code.
    cdef uint64_t head = 0, length = 0, before = 0
    if size >> 32 or stored >> 32 or stored < 2:
        return False
    # The first code is the one that clears: nine bits, the first of them set.
    if data[0] != 0x80 or data[1] & 0x80:
        return False
    while out < size:
        if bit + width > bits:
            return False
        code = next_code(data, stored, bit, width)
        bit += width
        if code == CLEAR:
            free_code = FIRST
            width = 9
            length = 0
            continue
        if length:
            # What the code before this one adds; there are no more than 4,096.
            if code > free_code or free_code >= CODES:
                return False
            k = (head if code == free_code else strings.head[code]) & 0xFF
            strings.head[free_code] = head | k << 8 * length if length < 8 else head
            strings.at[free_code] = <uint32_t>before
            strings.length[free_code] = <uint16_t>(length + 1)
            free_code += 1
            if free_code == (<uint32_t>1 << width) - 1 and width < 12:
                width += 1
        elif code >= CLEAR:
            return False
        if code == END:
            return False
        head = strings.head[code]
        length = strings.length[code]
        before = out
        if out + length + 8 <= size:
            # Eight bytes at a time; what is too much is overwritten by what follows.
            memcpy(to + out, &head, 8)
            k = 8
            while k < length:
                memcpy(to + out + k, to + strings.at[code] + k, 8)
                k += 8
        else:
            n = min(length, size - out)
            for k in range(n):
                to[out + k] = (
                    <uint8_t>(head >> 8 * k) if k < 8 else to[strings.at[code] + k])
        out += length
    return True
