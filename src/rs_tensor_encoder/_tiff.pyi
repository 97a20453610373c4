from collections.abc import Sequence
from typing import Any, Final, TypedDict

from rs_tensor_encoder.errors import PatchError

class _Versions(TypedDict):
    libtiff: str
    libdeflate: str
    codecs: list[str]

DTYPES: Final[tuple[str, ...]]
LIMIT: Final[int]

def keep_memory() -> None: ...
def versions() -> _Versions: ...
def header(tensors: Sequence[tuple[str, str, int, int]]) -> tuple[bytes, list[int], int]: ...

class Encoder:
    def __init__(
        self,
        formats: Sequence[Sequence[Sequence[str]]],
        extensions: Sequence[str],
        limit: int = ...,
        roots: Sequence[bytes] = ...,
        ordinary: bool = ...,
    ) -> None: ...
    def encode(
        self, patches: Sequence[tuple[int, bytes, bytes]], out: Any, start: int = 0
    ) -> tuple[list[tuple[int, int, bytes, int] | PatchError], int]: ...
    def marks(self, patches: Sequence[tuple[int, bytes, bytes]]) -> list[int | PatchError]: ...
