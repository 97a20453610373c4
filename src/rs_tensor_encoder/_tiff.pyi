from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, TypedDict

from rs_tensor_encoder.errors import PatchError

class _Versions(TypedDict):
    libtiff: str
    libdeflate: str
    bundled: dict[str, str]
    codecs: list[str]

DTYPES: Final[tuple[str, ...]]
LIMIT: Final[int]

def keep_memory() -> None: ...
def write_back(file: int, begin: int, end: int) -> None: ...
def versions() -> _Versions: ...
def header(tensors: Sequence[tuple[str, str, int, int]]) -> tuple[bytes, list[int], int]: ...

Files: TypeAlias = tuple[int, bytes, bytes]
Result: TypeAlias = tuple[int, int, bytes, int, bytes] | PatchError

class Task:
    out: Any
    error: BaseException | None
    patches: int
    ended: bool
    waits: int | None
    def __init__(self, patches: Sequence[Files], out: Any, start: int = ...) -> None: ...
    def results(self) -> list[Result]: ...

class Line:
    def __init__(self, larger: Callable[[Any, int, int], Any]) -> None: ...
    def put(self, task: Task) -> None: ...
    def wait(self, seconds: float) -> Task | None: ...
    def dismiss(self, threads: int) -> None: ...
    def close(self) -> None: ...

class Encoder:
    in_place: int
    def __init__(
        self,
        formats: Sequence[Sequence[Sequence[str]]],
        extensions: Sequence[str],
        limit: int = ...,
        roots: Sequence[bytes] = ...,
        ordinary: bool = ...,
    ) -> None: ...
    def encode(
        self, patches: Sequence[Files], out: Any, start: int = 0
    ) -> tuple[list[Result], int]: ...
    def serve(self, line: Line) -> None: ...
    def marks(self, patches: Sequence[Files]) -> list[int | PatchError]: ...
