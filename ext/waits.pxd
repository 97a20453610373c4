# How often a thread has had to wait.

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <sys/resource.h>
    #ifdef RUSAGE_THREAD
    static long waits_(void)
    {
        struct rusage usage;
        return getrusage(RUSAGE_THREAD, &usage) ? -1 : usage.ru_nvcsw;
    }
    #else
    static long waits_(void) { return -1; }
    #endif
    """
    # How often the thread has given the processor away because it had to wait; -1: not known.
    long waits_() nogil
