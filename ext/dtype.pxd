# The types of samples.

cdef enum DType:
    # The order in which safetensors sorts tensors, ascending; it writes them
    # descending (safetensors 0.3.1 and newer, enum Dtype).
    U8, I8, I16, U16, F16, I32, U32, F32, F64, I64, U64
