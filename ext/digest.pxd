# XXH3, 128 bits, as xxHash writes it. Made by the thread that has just decoded the
# value, whose processor has it in its cache still. All of xxHash's header is compiled
# in, so there is nothing to link.

from libc.stdint cimport uint8_t

cdef extern from * nogil:
    """
    #define XXH_INLINE_ALL
    #include <xxhash.h>
    """
    ctypedef struct XXH128_hash_t:
        pass
    ctypedef struct XXH128_canonical_t:
        uint8_t digest[16]
    XXH128_hash_t XXH3_128bits(const void *data, size_t size)
    void XXH128_canonicalFromHash(XXH128_canonical_t *to, XXH128_hash_t hash)


cdef inline void digest(
    XXH128_canonical_t *to, const uint8_t *data, size_t size
) noexcept nogil:
    XXH128_canonicalFromHash(to, XXH3_128bits(data, size))
