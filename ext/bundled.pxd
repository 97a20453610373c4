# Versions of the libraries that a bundled libtiff brings along, from their headers;
# empty where the system's libtiff is used. See packaging/libtiff.cmake.

cdef extern from *:
    """
    #ifdef RS_TENSOR_BUNDLED_LIBTIFF
    #include <Lerc_c_api.h>
    #include <lzma.h>
    #include <xxhash.h>
    #include <zlib.h>
    #include <zstd.h>
    #define RS_TENSOR_TEXT_(x) #x
    #define RS_TENSOR_TEXT(x) RS_TENSOR_TEXT_(x)
    static const char BUNDLED[] =
        "zlib " ZLIB_VERSION ",zstd " ZSTD_VERSION_STRING ",xz " LZMA_VERSION_STRING
        ",lerc " RS_TENSOR_TEXT(LERC_VERSION_MAJOR) "." RS_TENSOR_TEXT(LERC_VERSION_MINOR)
        "." RS_TENSOR_TEXT(LERC_VERSION_PATCH)
        ",xxhash " RS_TENSOR_TEXT(XXH_VERSION_MAJOR) "." RS_TENSOR_TEXT(XXH_VERSION_MINOR)
        "." RS_TENSOR_TEXT(XXH_VERSION_RELEASE);
    #else
    static const char BUNDLED[] = "";
    #endif
    """
    const char *BUNDLED
