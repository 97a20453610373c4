"""The sidecar of a database: what was encoded, from what, complete or not."""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from rs_tensor_encoder import __version__
from rs_tensor_encoder.errors import TargetError, writing_failed
from rs_tensor_encoder.storage import digest_file
from rs_tensor_encoder.storage.digest_file import Digests
from rs_tensor_encoder.storage.safetensors_header import is_tensor
from rs_tensor_encoder.util import sync
from rs_tensor_encoder.util.system import boot_id, host_name

NAME = "rs-tensor-encoder.json"
FAILURES = "failures.json"

_FORMAT = 2

# What the entries of lists must have.
_KEYS = {"sources": {"layout", "digest", "root"}, "left_out": {"patch"}}


@dataclass
class Manifest:
    """What stands in ``rs-tensor-encoder.json`` beside ``data.mdb``.

    ``sources`` has a dict per source (layout, its digest, root, and what was
    asked for by ``--with``, if anything); ``tensors``
    one per name, type and shape (with the number of patches that have it);
    ``left_out`` one per patch that ``--skip-failed`` finished without.
    ``digests`` is the digest of the whole of the file beside it that has the
    digests of all records, once there is one. ``boot`` is the boot of the
    machine during which an unfinished database was last written, ``host`` the
    name of that machine; both are None once all of it is known to be on the disk,
    and then the file has no ``host``.

    In the file, ``checksum`` stands behind all others: the SHA-256 of them as
    JSON with sorted keys and without spaces, in ASCII.
    """

    sources: list[dict[str, str]]
    complete: bool = False
    boot: str | None = None
    host: str | None = None
    patches: int = 0
    bytes: int = 0
    tensors: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    digests: str | None = None
    version: str = __version__
    format: int = _FORMAT

    @classmethod
    def begin(cls, sources: Sequence[dict[str, str]]) -> Self:
        """Begin the manifest of a database that this machine makes from these sources."""
        return cls(sources=list(sources), boot=boot_id(), host=host_name())

    @classmethod
    def load(cls, directory: str) -> Self | None:
        """Read the manifest in a directory; None if there is none.

        Raises
        ------
        TargetError
            If there is one that cannot be understood, or that was edited.
        """
        path = os.path.join(directory, NAME)
        # A pipe of this name would be waited for without end.
        if os.path.exists(path) and not os.path.isfile(path):
            raise TargetError(f"{path}: not a regular file")
        try:
            with open(path, encoding="utf-8") as file:
                data = json.load(file)
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError, OSError) as error:
            raise TargetError(f"{path}: cannot be understood: {error}") from None
        if not isinstance(data, dict) or data.get("format") != _FORMAT:
            raise TargetError(f"{path}: written by another version of rs-tensor-encoder")
        if data.pop("checksum", None) != _checksum(data):
            raise TargetError(f"{path}: torn or edited: its contents and its checksum differ")
        known = {field.name: field.type for field in fields(cls)}
        for name, value in data.items():
            if name not in known or not _is(value, known[name]) or not _has_keys(name, value):
                raise TargetError(
                    f"{path}: cannot be understood: {name!r} is not what it should be"
                )
        return cls(**data)

    def survived(self) -> bool:
        """Tell whether what was written is there: all of it is, unless the power failed."""
        return self.boot is None or self.boot == boot_id() != "unknown"

    def open_digests(self, directory: str) -> Digests:
        """Open the digests beside the manifest, which must be those that it knows.

        Raises
        ------
        TargetError
            If there are none, they are torn or edited, or are not of this database.
        """
        path = os.path.join(directory, digest_file.NAME)
        if self.digests is None:
            raise TargetError(f"{path}: written only when all is encoded, which has not come about")
        found = Digests(path)
        if (found.whole, found.count) != (self.digests, self.patches):
            raise TargetError(
                f"{path}: is not the file that {NAME} beside it knows: one of the two was replaced"
            )
        return found

    def save(self, directory: str) -> None:
        """Write the manifest: whole or not at all, and on the disk."""
        data = asdict(self)
        if self.host is None:
            # As before there was one: older versions read a finished manifest, too.
            del data["host"]
        write_json(os.path.join(directory, NAME), data | {"checksum": _checksum(data)})


def name_source(source: dict[str, str]) -> str:
    """Write a source of a manifest for people."""
    asked = [f" --with {name}" for name in source.get("with", "").split()]
    return f"{source['layout']} {source['root']}{''.join(asked)}"


def tensor_table(headers: Counter[bytes]) -> list[dict[str, Any]]:
    """Count the tensors of values by name, type and shape.

    Parameters
    ----------
    headers : Counter of bytes
        safetensors headers with their length in front, and how many values have them.

    Returns
    -------
    list of dict
        ``name``, ``dtype``, ``shape`` and ``patches``, in natural order of the names.
    """
    table: Counter[tuple[str, str, tuple[int, ...]]] = Counter()
    for header, count in headers.items():
        for name, tensor in json.loads(header[8:]).items():
            if name != "__metadata__":
                table[name, tensor["dtype"], tuple(tensor["shape"])] += count
    return [
        {"name": name, "dtype": dtype, "shape": list(shape), "patches": count}
        for (name, dtype, shape), count in sorted(table.items(), key=_natural)
    ]


def _natural(item: tuple[tuple[str, str, tuple[int, ...]], int]) -> Any:
    (name, dtype, shape), _ = item
    # "B8A" -> ["B", 8, "A"]: texts and numbers alternate, so that any two compare.
    parts = [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
    return (parts, name, dtype, shape)


def _checksum(data: dict[str, Any]) -> str:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _has_keys(name: str, value: Any) -> bool:
    """Tell whether every entry of a list has what others will look for."""
    return name not in _KEYS or all(item.keys() >= _KEYS[name] for item in value)


def _is(value: Any, kind: Any) -> bool:
    """Tell whether a value of JSON is of the type that a field is annotated with."""
    if kind == list[dict[str, str]]:
        return isinstance(value, list) and all(_is(item, dict[str, str]) for item in value)
    if kind == list[dict[str, Any]]:
        return isinstance(value, list) and all(_is_row(item) for item in value)
    if kind == dict[str, str]:
        return isinstance(value, dict) and all(type(text) is str for text in value.values())
    if kind == str | None:
        return value is None or type(value) is str
    return type(value) is kind


def _is_row(entry: Any) -> bool:
    """Tell whether an entry is one of the table of tensors."""
    if not is_tensor(entry):
        return False
    return type(entry.get("name")) is str and type(entry.get("patches")) is int


def remove(path: str) -> None:
    """Remove a file of a target, if it is there.

    Raises
    ------
    TargetError, OutOfSpaceError
        If it cannot be removed.
    """
    try:
        os.remove(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise writing_failed(path, error, "removed") from None


def write_json(path: str, data: Any) -> None:
    """Write a JSON file: whole or not at all, and on the disk.

    Raises
    ------
    OutOfSpaceError, TargetError
        If it cannot be written.
    """
    text = json.dumps(data, indent=1) + "\n"
    new = path + ".new"
    try:
        with open(new, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            sync.sync_file(file.fileno())
        os.replace(new, path)
        sync.sync_directory(os.path.dirname(path))
    except OSError as error:
        raise writing_failed(path, error) from None
