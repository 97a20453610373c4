/* One fuzz target, and a mutator that knows where the entries of a TIFF directory
 * lie: it changes one in ways that readers trip over, as often as it changes bytes. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int TARGET(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return TARGET(data, size);
}

static const uint16_t tags[] = {
    254, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325,
    330, 338, 339, 347, 530, 32997, 33550, 34735, 42113, 50674,
};

static const uint64_t numbers[] = {
    0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 20, 24, 31, 32, 33, 64, 127, 128, 255, 256, 32768,
    32773, 32946, 34887, 34925, 50000, 50001, 65535, 65536, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0,
    0xFFFFFFFF, 0x100000000, 0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 0xFFFFFFFFFFFFFFFF,
};

#define ONE_OF(table) ((table)[rand_r(&seed) % (sizeof(table) / sizeof((table)[0]))])

static uint64_t get(const uint8_t *at, int bytes, int swap)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << 8 * (swap ? bytes - 1 - i : i);
    return value;
}

static void put(uint8_t *at, int bytes, int swap, uint64_t value)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> 8 * (swap ? bytes - 1 - i : i));
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    if (size < 16 || rand_r(&seed) % 2)
        return LLVMFuzzerMutate(data, size, most);
    int swap = data[0] == 'M', big = get(data + 2, 2, swap) == 43;
    int word = big ? 8 : 4, head = big ? 8 : 2, length = big ? 20 : 12;
    uint64_t first = get(data + (big ? 8 : 4), word, swap);
    if (first > size - 16)
        return LLVMFuzzerMutate(data, size, most);
    uint64_t count = get(data + first, head, swap), room = (size - first - head) / length;
    if (count > room)
        count = room;
    if (count == 0)
        return LLVMFuzzerMutate(data, size, most);
    uint8_t *entry = data + first + head + length * (rand_r(&seed) % count);
    uint8_t *value = entry + 4 + word;
    uint64_t at = get(value, word, swap);
    switch (rand_r(&seed) % 7) {
    case 0:
        put(entry, 2, swap, ONE_OF(tags));
        break;
    case 1:
        put(entry + 2, 2, swap, rand_r(&seed) % 20);
        break;
    case 2:
        put(entry + 4, word, swap, ONE_OF(numbers));
        break;
    case 3:
        put(value, word, swap, ONE_OF(numbers));
        break;
    case 4: /* a short value, which stands in the first two bytes */
        put(value, 2, swap, ONE_OF(numbers));
        break;
    case 5: /* a number a little larger or smaller */
        put(value, word, swap, at + rand_r(&seed) % 9 - 4);
        break;
    default: /* one of the values that stand elsewhere */
        if (at <= size - word)
            put(data + at, word, swap, ONE_OF(numbers));
    }
    return size;
}
