"""Values of records: the header that a safetensors value begins with."""

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

#: Longest header that safetensors reads or writes, in bytes (MAX_HEADER_SIZE in its source).
LONGEST_HEADER = 100_000_000

# Headers longer than this are not remembered, so that what is remembered stays small.
_SHORT = 1 << 16


def header_of(value: bytes | memoryview) -> bytes | None:
    """Cut the header, with its length in front, from a safetensors value.

    The length is held to what there is before anything is read by it.

    Returns
    -------
    bytes or None
        None if the value does not begin like one.
    """
    length = int.from_bytes(value[:8], "little")
    if length > min(len(value) - 8, LONGEST_HEADER):
        return None
    header = bytes(value[: 8 + length])
    look = _is_header if length <= _SHORT else _is_header.__wrapped__
    return header if look(header) else None


# Most values of a database have one of a few headers: each is looked into once.
@lru_cache(maxsize=256)
def _is_header(header: bytes) -> bool:
    try:
        entries = json.loads(header[8:])
    except (ValueError, RecursionError):
        return False
    if not isinstance(entries, dict):
        return False
    return all(is_tensor(entry) for name, entry in entries.items() if name != "__metadata__")


def tensor_names(headers: Iterable[bytes]) -> set[str]:
    """Names of the tensors in headers, which have their length in front."""
    return {name for header in headers for name in json.loads(header[8:])} - {"__metadata__"}


def is_tensor(entry: Any) -> bool:
    """Tell whether an entry of a manifest or a header names a type and a shape."""
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("dtype"), str)
        and isinstance(entry.get("shape"), list)
        and all(type(side) is int for side in entry["shape"])
    )
