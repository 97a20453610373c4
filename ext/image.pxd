# The image of a TIFF file: sizes, types, and where its strips or tiles are listed.

from libc.stdint cimport uint8_t, uint16_t, uint64_t

from dtype cimport DType
from tags cimport Entry

cdef enum Compression:
    NONE = 1
    LZW = 5
    OLD_JPEG = 6
    ADOBE_DEFLATE = 8
    DEFLATE = 32946
    PACKBITS = 32773

cdef enum Layout:
    INTERLEAVED = 1      # PlanarConfiguration: the samples of a pixel together
    SEPARATE = 2         # PlanarConfiguration: one plane per sample

cdef struct Image:
    uint64_t width       # pixels
    uint64_t height      # pixels
    uint64_t samples     # bands
    uint64_t itemsize    # bytes of a sample
    uint64_t chunk_width     # of a strip or tile, in pixels
    uint64_t chunk_height    # of a strip or tile, in pixels
    uint64_t across      # strips or tiles side by side
    uint64_t down        # strips or tiles one below the other
    uint64_t chunks      # strips or tiles in all, those of all planes
    Entry offsets        # of the strips or tiles
    Entry counts         # bytes of the strips or tiles
    uint64_t end         # of all directories, if there is one only; else of any file
    uint16_t compression
    uint16_t predictor
    uint16_t fill_order
    uint16_t planar
    DType dtype
    bint tiled
    uint8_t nodata[8]    # a sample with the nodata value, else 0
