// Writes the records of a database to the standard output, as a program for Node.js may read them:
// length of the key, key, length of the value, value; lengths have 8 bytes, little-endian.
const fs = require("fs");
const lmdb = require("node-lmdb");

function put(item) {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(item.length));
  for (const part of [length, item]) {
    for (let at = 0; at < part.length; ) at += fs.writeSync(1, part, at);
  }
}

const env = new lmdb.Env();
env.open({ path: process.argv[2], readOnly: true, unsafeNoLock: true });
const dbi = env.openDbi({ name: null, keyIsBuffer: true });
const txn = env.beginTxn({ readOnly: true });
const cursor = new lmdb.Cursor(txn, dbi, { keyIsBuffer: true });
for (let key = cursor.goToFirst(); key !== null; key = cursor.goToNext()) {
  put(key);
  put(txn.getBinary(dbi, key));
}
cursor.close();
txn.abort();
env.close();
