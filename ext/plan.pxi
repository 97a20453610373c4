# The headers of values: what stands in front of the pixels.

import json

from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free

from plan cimport Plan, Shape

#: safetensors' names of the sample types, in the order of ``DType``.
DTYPES = ("U8", "I8", "I16", "U16", "F16", "I32", "U32", "F32", "F64", "I64", "U64")


def header(tensors):
    """Header of a safetensors value, and where its tensors lie behind it.

    The bytes are those of ``safetensors.numpy.save``: tensors sorted by type
    (widest first), then by name; compact JSON, padded with spaces to a multiple
    of 8 (safetensors 0.3.1 and newer, ``serialize`` in its Rust source).

    Parameters
    ----------
    tensors : sequence of (name, dtype, rows, columns)
        ``dtype`` is one of `DTYPES`.

    Returns
    -------
    text : bytes
        The header with its 8-byte length in front.
    offsets : list of int
        Where each tensor begins, in bytes behind the header, in the order given.
    size : int
        Bytes of all tensors.
    """
    order = sorted(
        range(len(tensors)),
        key=lambda i: (-DTYPES.index(tensors[i][1]), tensors[i][0].encode()))
    offsets = [0] * len(tensors)
    entries = []
    at = 0
    for i in order:
        name, dtype, rows, columns = tensors[i]
        offsets[i] = at
        end = at + rows * columns * _itemsize(dtype)
        entries.append(
            f'{json.dumps(name, ensure_ascii=False)}:{{"dtype":"{dtype}",'
            f'"shape":[{rows},{columns}],"data_offsets":[{at},{end}]}}')
        at = end
    text = ("{" + ",".join(entries) + "}").encode()
    text += b" " * ((8 - len(text) % 8) % 8)
    return len(text).to_bytes(8, "little") + text, offsets, at


def _itemsize(dtype):
    return int(dtype[1:]) // 8


cdef class Header:
    # Owns a Plan.
    cdef Plan plan
    cdef bytes text

    def __cinit__(self, tuple bands, list shapes):
        tensors = [
            (name, DTYPES[dtype], rows, columns)
            for names, (dtype, rows, columns) in zip(bands, shapes, strict=True)
            for name in names]
        self.text, offsets, size = header(tensors)
        self.plan.header = self.text
        self.plan.length = len(self.text)
        self.plan.size = self.plan.length + size
        self.plan.files = len(shapes)
        self.plan.offsets = <uint64_t *>calloc(len(offsets), sizeof(uint64_t))
        self.plan.shapes = <Shape *>calloc(len(shapes), sizeof(Shape))
        if self.plan.offsets == NULL or self.plan.shapes == NULL:
            raise MemoryError
        for i, offset in enumerate(offsets):
            self.plan.offsets[i] = self.plan.length + offset
        for i, (dtype, rows, columns) in enumerate(shapes):
            self.plan.shapes[i].dtype = dtype
            self.plan.shapes[i].height = rows
            self.plan.shapes[i].width = columns
            self.plan.shapes[i].size = rows * columns * _itemsize(DTYPES[dtype])

    def __dealloc__(self):
        free(self.plan.offsets)
        free(self.plan.shapes)
