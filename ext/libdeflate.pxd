# libdeflate: the functions used, nothing else.

cdef extern from "libdeflate.h" nogil:
    struct libdeflate_decompressor:
        pass

    enum libdeflate_result:
        LIBDEFLATE_SUCCESS
        LIBDEFLATE_BAD_DATA
        LIBDEFLATE_SHORT_OUTPUT
        LIBDEFLATE_INSUFFICIENT_SPACE

    libdeflate_decompressor *libdeflate_alloc_decompressor()
    void libdeflate_free_decompressor(libdeflate_decompressor *)
    libdeflate_result libdeflate_zlib_decompress_ex(
        libdeflate_decompressor *,
        const void *data, size_t size,
        void *out, size_t capacity,
        size_t *consumed, size_t *written)

    const char *LIBDEFLATE_VERSION_STRING
