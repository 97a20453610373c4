/* Interleaved samples to planes, eight pixels and eight bands at a time: each block of
 * 8 x 8 samples of 16 bits is transposed in registers, which costs less than an
 * instruction a sample where a loop over strided samples costs three. Written with the
 * vector types of GCC and Clang, so that it is the same on every processor.
 */
#ifndef RS_TENSOR_TRANSPOSE_H
#define RS_TENSOR_TRANSPOSE_H

#include <stdint.h>
#include <string.h>

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define RS_TENSOR_VECTORS 1
#endif
#endif

#ifdef RS_TENSOR_VECTORS

typedef uint16_t words __attribute__((vector_size(16)));
typedef uint32_t pairs __attribute__((vector_size(16)));
typedef uint64_t quads __attribute__((vector_size(16)));

#define LOW16(a, b) (pairs)__builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH16(a, b) (pairs)__builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define LOW32(a, b) (quads)__builtin_shufflevector(a, b, 0, 4, 1, 5)
#define HIGH32(a, b) (quads)__builtin_shufflevector(a, b, 2, 6, 3, 7)
#define LOW64(a, b) (words)__builtin_shufflevector(a, b, 0, 2)
#define HIGH64(a, b) (words)__builtin_shufflevector(a, b, 1, 3)

/* Eight bands, from `band` on, of eight pixels of `stride` samples, to their planes at x. */
static inline void transpose_block(
    const uint16_t *from, uint64_t stride, uint8_t *const *planes, uint64_t x)
{
    words r[8], out;
    pairs p[8];
    quads q[8];
    for (int i = 0; i < 8; i++)
        memcpy(&r[i], from + i * stride, 16);
    for (int i = 0; i < 4; i++) {
        p[2 * i] = LOW16(r[2 * i], r[2 * i + 1]);
        p[2 * i + 1] = HIGH16(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2; k++) {
            q[4 * i + 2 * k] = LOW32(p[4 * i + k], p[4 * i + 2 + k]);
            q[4 * i + 2 * k + 1] = HIGH32(p[4 * i + k], p[4 * i + 2 + k]);
        }
    for (int b = 0; b < 4; b++) {
        out = LOW64(q[b], q[4 + b]);
        memcpy(planes[2 * b] + 2 * x, &out, 16);
        out = HIGH64(q[b], q[4 + b]);
        memcpy(planes[2 * b + 1] + 2 * x, &out, 16);
    }
}

/* All bands (eight at least) of the first pixels of a row: as many as come in eights;
 * returns how many. Eight bands along the whole row, then the next ones: planes are often
 * a multiple of 4 KiB apart, and a cache holds few lines of such addresses. */
static inline uint64_t transpose_row16(
    const uint16_t *from, uint64_t pixels, uint64_t samples, uint8_t *const *planes)
{
    uint64_t whole = pixels / 8 * 8;
    for (uint64_t band = 0; band < samples; band += 8) {
        /* The last eight, together with some that were done already. */
        if (band + 8 > samples)
            band = samples - 8;
        for (uint64_t x = 0; x < whole; x += 8)
            transpose_block(from + x * samples + band, samples, planes + band, x);
    }
    return whole;
}

#else

static inline uint64_t transpose_row16(
    const uint16_t *from, uint64_t pixels, uint64_t samples, uint8_t *const *planes)
{
    (void)from; (void)pixels; (void)samples; (void)planes;
    return 0;
}

#endif
#endif
