# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""TIFF files in, safetensors values out: whole batches, without the GIL.

The bytes go from the file to one buffer, and from there, decoded, to their
final place in the value; pixels that lie `straight` in their file go there at
once. `encoder` is what a thread does, task by task; `patch` makes the value of one
patch of a `format`, after a `plan`; `lookup` finds its files, `file` reads them, `tags`
and `read_image` learn what they hold, `decode` decodes their `chunks`, through libtiff by
way of `handle`, and `samples` moves the samples. `task` is the work that is handed out, by
way of a `queue`.
"""

import os
import sys

from libc.errno cimport ENOENT
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free

from format cimport Format, close_format, open_format, suits
from lookup cimport allow, look
from patch cimport (
    DONE, FAILED, NEW_SHAPES, NO_ROOM, UNSUITED, Outcome, Patch, close_patch, encode_patch,
    open_patch,
)
from problem cimport OTHER, Problem
from queue cimport take
from task cimport Batch, Job
from waits cimport waits_

from rs_tensor_encoder.errors import PatchError

if sys.byteorder != "little":
    raise ImportError("rs-tensor-encoder runs on little-endian machines only")

#: Decoded bytes of one file, and bytes of one file, beyond which it is refused.
LIMIT = 1 << 30

# All that Python calls must be in one module.
include "plan.pxi"
include "task.pxi"
include "process.pxi"
include "encoder.pxi"
