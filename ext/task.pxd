# The work that is handed out: patches, a batch of them at a time.

from libc.stdint cimport uint8_t, uint64_t

from digest cimport XXH128_canonical_t
from plan cimport Plan
from queue cimport Link

cdef struct Job:
    int format           # index of the patch's format
    const char *directory
    const char *names    # of the files, without extension, each ended by a NUL
    uint64_t start       # where the value begins in the batch
    uint64_t stop
    uint64_t length      # of the value's header
    uint64_t mark        # of the sizes of the files, and of the times of their change
    XXH128_canonical_t digest    # of the value
    const char *end      # of the names
    const Plan *plan     # of the value, while it is encoded
    bint failed

cdef struct Fact:
    # What is to be known of a value later on: 32 bytes, without padding.
    XXH128_canonical_t digest
    uint64_t length
    uint64_t mark

cdef struct Batch:
    # Patches that are encoded one behind the other.
    Job *jobs
    Py_ssize_t n
    Py_ssize_t at        # the one at hand
    uint8_t *out
    uint64_t room        # bytes of ``out``
    uint64_t start       # where the next value may begin
    uint64_t needed      # bytes that ``out`` must have for the one at hand
    long waits           # how often the system made the thread wait; -1: not known
    bint ended
    Link link
    void *owner          # the Task, which whoever waits for it keeps alive
