# What concerns no patch: the memory of the process, what it writes, the libraries in it.

from bundled cimport BUNDLED
from libdeflate cimport LIBDEFLATE_VERSION_STRING
from libtiff cimport TIFFCodec, TIFFGetConfiguredCODECs, TIFFGetVersion, _TIFFfree

cdef extern from *:
    """
    #include <stdlib.h>
    #ifdef __GLIBC__
    #include <malloc.h>
    static void keep_memory_(int mapped, int trimmed)
    {
        mallopt(M_MMAP_THRESHOLD, mapped);
        mallopt(M_TRIM_THRESHOLD, trimmed);
    }
    #else
    static void keep_memory_(int mapped, int trimmed) { (void)mapped; (void)trimmed; }
    #endif
    """
    void keep_memory_(int mapped, int trimmed)

cdef extern from *:
    """
    #ifdef __linux__
    #include <fcntl.h>
    static void write_back_(int file, long long at, long long size)
    {
        (void)!sync_file_range(file, at, size, SYNC_FILE_RANGE_WRITE);
    }
    #else
    static void write_back_(int file, long long at, long long size)
    {
        (void)file; (void)at; (void)size;
    }
    #endif
    """
    void write_back_(int file, long long at, long long size) nogil


def keep_memory():
    """Have glibc keep what is freed, up to 64 MB, for the whole process.

    LMDB allocates and frees the pages of every commit; glibc would give them
    back to the kernel, and each commit would pay for fresh ones with a page
    fault per 4 KiB (measured: 85,000 faults for 2,000 patches, 10,000 so).
    """
    keep_memory_(32 << 20, 64 << 20)


def write_back(int file, long long begin, long long end):
    """Have the system begin to write a part of a file to the disk, where it can be asked to.

    Parameters
    ----------
    file : int
        Descriptor.
    begin, end : int
        The part, in bytes.
    """
    with nogil:
        write_back_(file, begin, end - begin)


def versions():
    """Versions of the libraries compiled in.

    Returns
    -------
    dict
        ``libtiff`` and ``libdeflate``: version numbers (str); ``bundled``: what
        was built in with them (dict of name to version), empty if they are the
        system's; ``codecs``: names of the TIFF compressions that can be decoded
        (list of str).
    """
    cdef TIFFCodec *codecs = TIFFGetConfiguredCODECs()
    cdef TIFFCodec *codec = codecs
    names = []
    if codecs == NULL:
        raise MemoryError
    try:
        while codec.name != NULL:
            names.append(codec.name.decode("ascii", "replace"))
            codec += 1
    finally:
        _TIFFfree(codecs)
    # "LIBTIFF, Version 4.5.0\nCopyright ..."
    text = (<bytes>TIFFGetVersion()).decode("ascii", "replace")
    return {
        "libtiff": text.split("\n")[0].rpartition(" ")[2],
        "libdeflate": (<bytes>LIBDEFLATE_VERSION_STRING).decode("ascii"),
        "bundled": dict(
            name.split() for name in (<bytes>BUNDLED).decode("ascii").split(",") if name),
        "codecs": names,
    }
