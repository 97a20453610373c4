/* Writes the records of a database to the standard output, as any program in C may read them:
 * length of the key, key, length of the value, value; lengths have 8 bytes, as the machine has them. */
#include <lmdb.h>
#include <stdint.h>
#include <stdio.h>

static int put(const MDB_val *item)
{
    uint64_t length = item->mv_size;

    return fwrite(&length, sizeof length, 1, stdout) == 1 &&
           fwrite(item->mv_data, 1, item->mv_size, stdout) == item->mv_size;
}

int main(int count, char **words)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc;

    if (count != 2)
        return 2;
    if ((rc = mdb_env_create(&env)) ||
        (rc = mdb_env_open(env, words[1], MDB_RDONLY | MDB_NOLOCK, 0)) ||
        (rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn)) ||
        (rc = mdb_dbi_open(txn, NULL, 0, &dbi)) ||
        (rc = mdb_cursor_open(txn, dbi, &cursor))) {
        fprintf(stderr, "%s: %s\n", words[1], mdb_strerror(rc));
        return 1;
    }
    while (!(rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)))
        if (!put(&key) || !put(&value))
            return 1;
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    mdb_env_close(env);
    return rc != MDB_NOTFOUND || fflush(stdout);
}
