# The size of a WebP image, as its container says it (RFC 9649). libtiff 4.5 decodes a
# strip or tile of another size than its own, and leaves what that does not fill as it was.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

cdef enum:
    WEBP = 50001         # the compression


cdef inline uint32_t number24(const uint8_t *at) noexcept nogil:
    return at[0] | <uint32_t>at[1] << 8 | <uint32_t>at[2] << 16


cdef inline bint is_webp(
    const uint8_t *data, uint64_t stored, uint64_t width, uint64_t height
) noexcept nogil:
    """Whether the bytes are a WebP image of this size."""
    cdef uint32_t bits
    if stored < 30 or memcmp(data, "RIFF", 4) or memcmp(data + 8, "WEBP", 4):
        return False
    if memcmp(data + 12, "VP8X", 4) == 0:
        return number24(data + 24) + 1 == width and number24(data + 27) + 1 == height
    if memcmp(data + 12, "VP8L", 4) == 0:
        # Two numbers of 14 bits, one less than the sides.
        bits = number24(data + 21) | <uint32_t>data[24] << 24
        return (bits & 0x3FFF) + 1 == width and (bits >> 14 & 0x3FFF) + 1 == height
    if memcmp(data + 12, "VP8 ", 4) == 0:
        bits = number24(data + 26) | <uint32_t>data[29] << 24
        return (bits & 0x3FFF) == width and (bits >> 16 & 0x3FFF) == height
    return False
