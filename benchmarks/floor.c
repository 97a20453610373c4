/* The floors: what plain C needs for the same work, written the obvious way.
 *
 *   floor read   THREADS LIST          read every file
 *   floor decode THREADS LIST          and decode it through libtiff
 *   floor inflate THREADS LIST         or, of deflate files, call libdeflate for each strip, no more
 *   floor write  THREADS LIST TARGET   and append it, in order, to an LMDB; sync at the end
 *
 * LIST has a line per patch: key, then its files, separated by tabs. Batches of about 2.5 MB go to
 * threads; one thread writes them in order, a commit a batch. The tags of GeoTIFF are registered
 * once, which halves the cost of opening a file; each file is opened by libtiff in memory. What is
 * not done: checks, headers of safetensors (their room is left), and anything unusual.
 */

#include <fcntl.h>
#include <libdeflate.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tiffio.h>
#include <unistd.h>

#define BATCH (5u << 19)
/* Batches under way: few, which stay in the processor's cache, but where all is waited for. */
#define SLOTS 64
#define FEW 16
#define FILES 32
#define HEADER 832

typedef struct { char *key; char *files[FILES]; int n; } Patch;
typedef struct { char *data; size_t size, room; } Buffer;
typedef struct { int begin, end, ready; Buffer values; size_t *stops; } Slot;

static Patch *patches;
static int n_patches, n_threads, mode, next_batch, written, n_batches, *begins;
static Slot slots[SLOTS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ready = PTHREAD_COND_INITIALIZER, room = PTHREAD_COND_INITIALIZER;

static void die(const char *what) { perror(what); exit(1); }

static char *grow(Buffer *b, size_t more)
{
    if (b->size + more > b->room) {
        b->room = 2 * (b->size + more);
        b->data = realloc(b->data, b->room);
        if (!b->data) die("realloc");
    }
    return b->data + b->size;
}

static void read_file(const char *path, Buffer *b)
{
    struct stat st;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &st)) die(path);
    b->size = 0;
    grow(b, st.st_size);
    if (read(fd, b->data, st.st_size) != st.st_size) die(path);
    b->size = st.st_size;
    close(fd);
}

/* ---- libtiff over memory ---- */

typedef struct { Buffer *b; toff_t at; } Memory;
static tmsize_t m_read(thandle_t h, void *to, tmsize_t n)
{
    Memory *m = h;
    if (m->at + n > m->b->size) n = m->b->size - m->at;
    memcpy(to, m->b->data + m->at, n);
    m->at += n;
    return n;
}
static tmsize_t m_write(thandle_t h, void *p, tmsize_t n) { (void)h; (void)p; (void)n; return -1; }
static toff_t m_seek(thandle_t h, toff_t to, int whence)
{
    Memory *m = h;
    return m->at = to + (whence == SEEK_CUR ? m->at : whence == SEEK_END ? m->b->size : 0);
}
static int m_close(thandle_t h) { (void)h; return 0; }
static toff_t m_size(thandle_t h) { return ((Memory *)h)->b->size; }
static int m_map(thandle_t h, void **p, toff_t *n)
{
    *p = ((Memory *)h)->b->data;
    *n = ((Memory *)h)->b->size;
    return 1;
}
static void m_unmap(thandle_t h, void *p, toff_t n) { (void)h; (void)p; (void)n; }

static const TIFFFieldInfo geo[] = {
    {33550, -1, -1, TIFF_DOUBLE, FIELD_CUSTOM, 1, 1, "ModelPixelScale"},
    {33922, -1, -1, TIFF_DOUBLE, FIELD_CUSTOM, 1, 1, "ModelTiepoint"},
    {34264, -1, -1, TIFF_DOUBLE, FIELD_CUSTOM, 1, 1, "ModelTransformation"},
    {34735, -1, -1, TIFF_SHORT, FIELD_CUSTOM, 1, 1, "GeoKeyDirectory"},
    {34736, -1, -1, TIFF_DOUBLE, FIELD_CUSTOM, 1, 1, "GeoDoubleParams"},
    {34737, -1, -1, TIFF_ASCII, FIELD_CUSTOM, 1, 0, "GeoAsciiParams"},
    {42112, -1, -1, TIFF_ASCII, FIELD_CUSTOM, 1, 0, "GDALMetadata"},
    {42113, -1, -1, TIFF_ASCII, FIELD_CUSTOM, 1, 0, "GDALNoData"},
};
static void extend(TIFF *t) { TIFFMergeFieldInfo(t, geo, sizeof geo / sizeof *geo); }

static void scatter(char *to, const char *from, uint32_t width, uint32_t chunk, uint32_t rows,
                    uint32_t columns, int samples, int size, size_t plane)
{
    for (uint32_t y = 0; y < rows; y++)
        for (int s = 0; s < samples; s++) {
            char *row = to + s * plane + (size_t)y * width * size;
            const char *src = from + ((size_t)y * chunk * samples + s) * size;
            if (samples == 1) { memcpy(row, src, (size_t)columns * size); continue; }
            if (size == 1)
                for (uint32_t x = 0; x < columns; x++) row[x] = src[x * samples];
            else if (size == 2)
                for (uint32_t x = 0; x < columns; x++)
                    ((uint16_t *)row)[x] = ((const uint16_t *)src)[x * samples];
            else
                for (uint32_t x = 0; x < columns; x++)
                    memcpy(row + x * size, src + (size_t)x * samples * size, size);
        }
}

static void decode(Buffer *file, Buffer *chunk, Buffer *out)
{
    Memory memory = {file, 0};
    uint32_t width, height, cw, ch;
    uint16_t samples, bits, planar;
    TIFF *t = TIFFClientOpen("m", "rc", &memory, m_read, m_write, m_seek, m_close, m_size, m_map,
                             m_unmap);
    if (!t) exit(1);
    TIFFGetField(t, TIFFTAG_IMAGEWIDTH, &width);
    TIFFGetField(t, TIFFTAG_IMAGELENGTH, &height);
    TIFFGetFieldDefaulted(t, TIFFTAG_SAMPLESPERPIXEL, &samples);
    TIFFGetFieldDefaulted(t, TIFFTAG_BITSPERSAMPLE, &bits);
    TIFFGetFieldDefaulted(t, TIFFTAG_PLANARCONFIG, &planar);
    int size = bits / 8, together = planar == 2 ? 1 : samples, tiled = TIFFIsTiled(t);
    if (tiled) {
        TIFFGetField(t, TIFFTAG_TILEWIDTH, &cw);
        TIFFGetField(t, TIFFTAG_TILELENGTH, &ch);
    } else {
        TIFFGetFieldDefaulted(t, TIFFTAG_ROWSPERSTRIP, &ch);
        cw = width;
        if (ch > height) ch = height;
    }
    size_t plane = (size_t)width * height * size;
    char *to = grow(out, plane * samples);
    chunk->size = 0;
    char *one = grow(chunk, (size_t)cw * ch * together * size);
    uint32_t i = 0;
    for (int s = 0; s < samples / together; s++)
        for (uint32_t y = 0; y < height; y += ch)
            for (uint32_t x = 0; x < width; x += cw, i++) {
                uint32_t rows = height - y < ch ? height - y : ch;
                uint32_t columns = width - x < cw ? width - x : cw;
                char *place = to + s * plane + ((size_t)y * width + x) * size;
                int direct = together == 1 && !tiled;
                tmsize_t want = (tmsize_t)(tiled ? ch : rows) * cw * together * size;
                char *where = direct ? place : one;
                tmsize_t got = tiled ? TIFFReadEncodedTile(t, i, where, want)
                                     : TIFFReadEncodedStrip(t, i, where, want);
                if (got != want) exit(1);
                if (!direct)
                    scatter(place, one, width, cw, rows, columns, together, size, plane);
            }
    out->size += plane * samples;
    TIFFClose(t);
}

/* Nothing but the inflating: every strip to the same place. */
static void inflate(Buffer *file, Buffer *chunk, struct libdeflate_decompressor *inflater)
{
    Memory memory = {file, 0};
    uint64_t *offsets, *counts;
    TIFF *t = TIFFClientOpen("m", "rc", &memory, m_read, m_write, m_seek, m_close, m_size, m_map,
                             m_unmap);
    if (!t || !TIFFGetField(t, TIFFTAG_STRIPOFFSETS, &offsets)
        || !TIFFGetField(t, TIFFTAG_STRIPBYTECOUNTS, &counts)) exit(1);
    chunk->size = 0;
    size_t room = TIFFStripSize(t), got;
    char *to = grow(chunk, room);
    for (uint32_t i = 0, n = TIFFNumberOfStrips(t); i < n; i++)
        if (libdeflate_zlib_decompress(inflater, file->data + offsets[i], counts[i], to, room, &got))
            exit(1);
    TIFFClose(t);
}

/* ---- threads ---- */

static void *work(void *unused)
{
    Buffer file = {0}, chunk = {0};
    struct libdeflate_decompressor *inflater = libdeflate_alloc_decompressor();
    (void)unused;
    for (;;) {
        pthread_mutex_lock(&lock);
        int batch = next_batch++;
        if (batch < n_batches)
            while (batch - written >= (mode ? FEW : SLOTS)) pthread_cond_wait(&room, &lock);
        pthread_mutex_unlock(&lock);
        if (batch >= n_batches) break;
        Slot *slot = &slots[batch % SLOTS];
        slot->begin = begins[batch];
        slot->end = begins[batch + 1];
        slot->values.size = 0;
        slot->stops = realloc(slot->stops, (slot->end - slot->begin) * sizeof(size_t));
        for (int i = slot->begin; i < slot->end; i++) {
            if (mode % 3) {
                memset(grow(&slot->values, HEADER), ' ', HEADER);
                slot->values.size += HEADER;
            }
            for (int f = 0; f < patches[i].n; f++) {
                read_file(patches[i].files[f], &file);
                if (mode == 3) inflate(&file, &chunk, inflater);
                else if (mode) decode(&file, &chunk, &slot->values);
            }
            slot->stops[i - slot->begin] = slot->values.size;
        }
        pthread_mutex_lock(&lock);
        slot->ready = 1;
        pthread_cond_broadcast(&ready);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static void check(int rc) { if (rc) { fprintf(stderr, "%s\n", mdb_strerror(rc)); exit(1); } }

int main(int argc, char **argv)
{
    if (argc < 4) return 2;
    mode = !strcmp(argv[1], "read") ? 0 : !strcmp(argv[1], "decode") ? 1
         : !strcmp(argv[1], "inflate") ? 3 : 2;
    n_threads = atoi(argv[2]);
    FILE *list = fopen(argv[3], "r");
    char *line = NULL;
    size_t length = 0;
    if (!list) die(argv[3]);
    while (getline(&line, &length, list) > 0) {
        if (n_patches % 1024 == 0) patches = realloc(patches, (n_patches + 1024) * sizeof *patches);
        Patch *p = &patches[n_patches++];
        p->n = 0;
        p->key = strdup(strtok(line, "\t\n"));
        for (char *w; (w = strtok(NULL, "\t\n"));) p->files[p->n++] = strdup(w);
    }
    /* Batches by the size of the first patch. */
    Buffer file = {0}, chunk = {0}, out = {0};
    TIFFSetWarningHandler(NULL);
    TIFFSetTagExtender(extend);
    for (int f = 0; f < patches[0].n; f++) { read_file(patches[0].files[f], &file); decode(&file, &chunk, &out); }
    int per = BATCH / out.size ? BATCH / out.size : 1;
    n_batches = (n_patches + per - 1) / per;
    begins = malloc((n_batches + 1) * sizeof(int));
    for (int b = 0; b <= n_batches; b++) begins[b] = b * per < n_patches ? b * per : n_patches;

    pthread_t threads[256];
    for (int i = 0; i < n_threads; i++) pthread_create(&threads[i], NULL, work, NULL);
    MDB_env *env = NULL;
    MDB_dbi dbi = 0;
    if (mode == 2) {
        MDB_txn *txn;
        check(mdb_env_create(&env));
        check(mdb_env_set_mapsize(env, (size_t)1 << 40));
        check(mdb_env_open(env, argv[4], MDB_NOSYNC, 0644));
        check(mdb_txn_begin(env, NULL, 0, &txn));
        check(mdb_dbi_open(txn, NULL, 0, &dbi));
        check(mdb_txn_commit(txn));
    }
    for (int b = 0; b < n_batches; b++) {
        Slot *slot = &slots[b % SLOTS];
        pthread_mutex_lock(&lock);
        while (!slot->ready) pthread_cond_wait(&ready, &lock);
        pthread_mutex_unlock(&lock);
        if (mode == 2) {
            MDB_txn *txn;
            size_t at = 0;
            check(mdb_txn_begin(env, NULL, 0, &txn));
            for (int i = slot->begin; i < slot->end; i++) {
                size_t stop = slot->stops[i - slot->begin];
                MDB_val key = {strlen(patches[i].key), patches[i].key};
                MDB_val value = {stop - at, slot->values.data + at};
                check(mdb_put(txn, dbi, &key, &value, MDB_APPEND));
                at = stop;
            }
            check(mdb_txn_commit(txn));
        }
        pthread_mutex_lock(&lock);
        slot->ready = 0;
        written++;
        pthread_cond_broadcast(&room);
        pthread_mutex_unlock(&lock);
    }
    for (int i = 0; i < n_threads; i++) pthread_join(threads[i], NULL);
    if (env) { check(mdb_env_sync(env, 1)); mdb_env_close(env); }
    return 0;
}
