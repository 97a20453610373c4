# libtiff >= 4.5: the functions used, nothing else.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "<stdarg.h>" nogil:
    ctypedef struct va_list:
        pass

cdef extern from "tiffio.h" nogil:
    ctypedef struct TIFF:
        pass

    ctypedef struct TIFFOpenOptions:
        pass

    ctypedef struct TIFFCodec:
        char *name
        uint16_t scheme

    ctypedef int64_t tmsize_t
    ctypedef uint64_t toff_t
    ctypedef void *thandle_t

    ctypedef tmsize_t (*TIFFReadWriteProc)(thandle_t, void *, tmsize_t) noexcept
    ctypedef toff_t (*TIFFSeekProc)(thandle_t, toff_t, int) noexcept
    ctypedef int (*TIFFCloseProc)(thandle_t) noexcept
    ctypedef toff_t (*TIFFSizeProc)(thandle_t) noexcept
    ctypedef int (*TIFFMapFileProc)(thandle_t, void **, toff_t *) noexcept
    ctypedef void (*TIFFUnmapFileProc)(thandle_t, void *, toff_t) noexcept
    ctypedef int (*TIFFErrorHandlerExtR)(
        TIFF *, void *, const char *, const char *, va_list) noexcept

    # handles
    TIFFOpenOptions *TIFFOpenOptionsAlloc()
    void TIFFOpenOptionsFree(TIFFOpenOptions *)
    void TIFFOpenOptionsSetMaxSingleMemAlloc(TIFFOpenOptions *, tmsize_t)
    void TIFFOpenOptionsSetErrorHandlerExtR(
        TIFFOpenOptions *, TIFFErrorHandlerExtR, void *)
    void TIFFOpenOptionsSetWarningHandlerExtR(
        TIFFOpenOptions *, TIFFErrorHandlerExtR, void *)
    TIFF *TIFFClientOpenExt(
        const char *name, const char *mode, thandle_t,
        TIFFReadWriteProc read, TIFFReadWriteProc write, TIFFSeekProc,
        TIFFCloseProc, TIFFSizeProc, TIFFMapFileProc, TIFFUnmapFileProc,
        TIFFOpenOptions *)
    void TIFFClose(TIFF *)

    # tags
    int TIFFGetFieldDefaulted(TIFF *, uint32_t tag, ...)
    int TIFFIsTiled(TIFF *)

    # pixels
    tmsize_t TIFFReadEncodedStrip(TIFF *, uint32_t strip, void *, tmsize_t)
    tmsize_t TIFFReadEncodedTile(TIFF *, uint32_t tile, void *, tmsize_t)
    int TIFFReadFromUserBuffer(
        TIFF *, uint32_t strip_or_tile, void *, tmsize_t, void *, tmsize_t)
    uint64_t TIFFStripSize64(TIFF *)
    uint64_t TIFFTileSize64(TIFF *)
    void TIFFReverseBits(uint8_t *, tmsize_t)

    # the library
    const char *TIFFGetVersion()
    TIFFCodec *TIFFGetConfiguredCODECs()
    int TIFFIsCODECConfigured(uint16_t scheme)
    void _TIFFfree(void *)

    enum:
        TIFFTAG_IMAGEWIDTH
        TIFFTAG_IMAGELENGTH
        TIFFTAG_BITSPERSAMPLE
        TIFFTAG_COMPRESSION
        TIFFTAG_SAMPLESPERPIXEL
        TIFFTAG_PLANARCONFIG
