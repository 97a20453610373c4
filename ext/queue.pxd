# A queue between the thread that hands out work and those that do it, for use
# without the GIL: waiting for it would cost more than most of the work.

from libc.time cimport time_t

cdef extern from "<time.h>" nogil:
    struct timespec:
        time_t tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec *now)

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass
    int pthread_mutex_init(pthread_mutex_t *, const void *)
    int pthread_mutex_destroy(pthread_mutex_t *)
    int pthread_mutex_lock(pthread_mutex_t *)
    int pthread_mutex_unlock(pthread_mutex_t *)
    int pthread_cond_destroy(pthread_cond_t *)
    int pthread_cond_wait(pthread_cond_t *, pthread_mutex_t *)
    int pthread_cond_timedwait(pthread_cond_t *, pthread_mutex_t *, const timespec *)
    int pthread_cond_signal(pthread_cond_t *)
    int pthread_cond_broadcast(pthread_cond_t *)

cdef extern from * nogil:
    """
    #include <pthread.h>
    #include <time.h>
    #include <unistd.h>
    static int open_condition_(pthread_cond_t *condition)
    {
        int clock = CLOCK_REALTIME;
    #if defined(_POSIX_CLOCK_SELECTION) && _POSIX_CLOCK_SELECTION > 0
        pthread_condattr_t how;
        pthread_condattr_init(&how);
        if (pthread_condattr_setclock(&how, CLOCK_MONOTONIC) == 0)
            clock = CLOCK_MONOTONIC;
        pthread_cond_init(condition, &how);
        pthread_condattr_destroy(&how);
    #else
        pthread_cond_init(condition, NULL);
    #endif
        return clock;
    }
    """
    # The clock that waits for the condition go by: where it can be chosen (macOS knows
    # one only), that which nobody sets back, which would make a short wait a long one.
    int open_condition_(pthread_cond_t *condition)

cdef struct Link:
    # Something in a queue; whoever puts it there keeps it alive.
    void *what
    Link *next

cdef struct Queue:
    pthread_mutex_t lock
    pthread_cond_t filled
    int clock            # that waits for it go by
    Link *first
    Link *last
    int leave            # takers that are to be told that nothing comes any more
    bint closed


cdef inline void open_queue(Queue *queue) noexcept nogil:
    pthread_mutex_init(&queue.lock, NULL)
    queue.clock = open_condition_(&queue.filled)
    queue.first = queue.last = NULL
    queue.leave = 0
    queue.closed = False


cdef inline void free_queue(Queue *queue) noexcept nogil:
    pthread_cond_destroy(&queue.filled)
    pthread_mutex_destroy(&queue.lock)


cdef inline void put(Queue *queue, Link *link) noexcept nogil:
    pthread_mutex_lock(&queue.lock)
    link.next = NULL
    if queue.last == NULL:
        queue.first = link
    else:
        queue.last.next = link
    queue.last = link
    pthread_cond_signal(&queue.filled)
    pthread_mutex_unlock(&queue.lock)


cdef inline void *take(Queue *queue) noexcept nogil:
    """Wait for something and take it; NULL for a taker that is to leave."""
    cdef Link *link = NULL
    pthread_mutex_lock(&queue.lock)
    while queue.first == NULL and not queue.closed and not queue.leave:
        pthread_cond_wait(&queue.filled, &queue.lock)
    if queue.leave:
        queue.leave -= 1
    elif not queue.closed:
        link = unlink_first(queue)
    pthread_mutex_unlock(&queue.lock)
    return NULL if link == NULL else link.what


cdef inline void *take_within(Queue *queue, double seconds) noexcept nogil:
    """Take something, waiting for it so long at most; NULL if there is nothing."""
    cdef Link *link = NULL
    cdef timespec end
    clock_gettime(queue.clock, &end)
    end.tv_nsec += <long>(seconds * 1e9)
    end.tv_sec += end.tv_nsec // 1000000000
    end.tv_nsec %= 1000000000
    pthread_mutex_lock(&queue.lock)
    # A wait of no length is left out: it would still let others run.
    while queue.first == NULL and seconds > 0:
        if pthread_cond_timedwait(&queue.filled, &queue.lock, &end):
            break
    if queue.first != NULL:
        link = unlink_first(queue)
    pthread_mutex_unlock(&queue.lock)
    return NULL if link == NULL else link.what


cdef inline Link *unlink_first(Queue *queue) noexcept nogil:
    cdef Link *link = queue.first
    queue.first = link.next
    if queue.first == NULL:
        queue.last = NULL
    return link


cdef inline void send_away(Queue *queue, int takers) noexcept nogil:
    """Have so many takers leave, before they take anything else."""
    pthread_mutex_lock(&queue.lock)
    queue.leave += takers
    pthread_cond_broadcast(&queue.filled)
    pthread_mutex_unlock(&queue.lock)


cdef inline void close_queue(Queue *queue) noexcept nogil:
    """Have all takers leave, and leave what is in the queue where it is."""
    pthread_mutex_lock(&queue.lock)
    queue.closed = True
    pthread_cond_broadcast(&queue.filled)
    pthread_mutex_unlock(&queue.lock)
