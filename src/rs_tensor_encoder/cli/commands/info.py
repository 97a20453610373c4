"""The verb ``info``."""

import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from rs_tensor_encoder.cli import options
from rs_tensor_encoder.cli.options import clean_target
from rs_tensor_encoder.cli.output import fail, note, say, say_json
from rs_tensor_encoder.util.text import counted, sized

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rs_tensor_encoder.storage.manifest import Manifest
    from rs_tensor_encoder.storage.unfinished import Record


@click.command(
    "info",
    short_help="Say what a database holds.",
    epilog="""
\b
Examples:
  rs-tensor-encoder info encoded-hyspecnet
  rs-tensor-encoder info --untrusted downloaded
""",
)
@options.target_argument
@options.untrusted_option
@options.json_option
@options.quiet_option
def command(target: str, untrusted: bool, as_json: bool, quiet: bool) -> int:
    """Say what a database holds: patches, tensors, size, and what it was made from.

    Works, with less, on a database of safetensors that another tool made; and
    on one that is being encoded: then it says what there is so far.
    """
    import lmdb

    from rs_tensor_encoder.errors import TargetError

    try:
        facts = _facts(clean_target(target), untrusted=untrusted, quiet=quiet)
    except lmdb.Error as error:
        raise TargetError(f"{target}: the database is damaged: {error}") from None
    if as_json:
        say_json(facts)
    else:
        _say(facts)
    if facts["problem"]:
        return fail(facts["problem"], TargetError.exit_code, as_json=False)
    return 0


def _say(facts: dict[str, Any]) -> None:
    from rs_tensor_encoder.storage.manifest import name_source

    say(f"{facts['target']}: {facts['state']}")
    say(
        f"{counted(facts['patches'], 'patch')}{' so far' if facts['being_written'] else ''}, "
        f"{sized(facts['bytes'])} of values, {sized(facts['file_bytes'])} on disk"
    )
    if facts["keys"]:
        # Of a single record, both ends are the same.
        say(f"keys: {' ... '.join(dict.fromkeys(facts['keys']))}")
    for source in facts["sources"]:
        say(f"source: {name_source(source)}")
    if facts["version"]:
        versions = ", ".join(f"{name} {text}" for name, text in facts["versions"].items())
        say(f"made by: rs-tensor-encoder {facts['version']} ({versions})")
    if facts["digests"]:
        say(f"digests: sha256 {facts['digests']}")
    if facts["left_out"]:
        say(f"left out: {counted(len(facts['left_out']), 'patch')}, which could not be encoded")
    say("tensors:")
    for name, dtype, shape, patches in _grouped(facts["tensors"]):
        line = f"  {name:<12} {dtype:<4} {shape:<12} in {counted(patches, 'patch')}"
        say(line)
    if facts["other"]:
        say(f"other: {counted(facts['other'], 'record')} without a safetensors value")


def _facts(target: str, *, untrusted: bool, quiet: bool) -> dict[str, Any]:
    import lmdb

    from rs_tensor_encoder.storage.unfinished import partial_of

    while (partial := partial_of(target)) is not None:
        try:
            facts = _facts_of(partial, untrusted=untrusted, quiet=quiet)
        except (OSError, lmdb.Error):
            if os.path.isdir(partial):
                raise
        else:
            if os.path.isdir(partial):
                return facts
        # It has come to its end meanwhile, and was renamed.
    return _facts_of(target, untrusted=untrusted, quiet=quiet)


def _facts_of(directory: str, *, untrusted: bool, quiet: bool) -> dict[str, Any]:
    from rs_tensor_encoder.errors import TargetError
    from rs_tensor_encoder.storage.environment import require
    from rs_tensor_encoder.storage.manifest import Manifest
    from rs_tensor_encoder.storage.unfinished import PARTIAL, being_written

    facts: dict[str, Any] = {"target": directory, "state": "made by another tool"}
    growing = being_written(directory) if directory.endswith(PARTIAL) else False
    try:
        manifest = Manifest.load(directory)
    except TargetError as error:
        note(str(error))
        manifest = None
    if manifest is None and not growing:
        require(directory)
    facts["being_written"] = growing
    facts |= {"sources": [], "version": None, "versions": {}, "left_out": []}
    facts["digests"] = facts["problem"] = None
    if manifest is not None:
        facts["state"] = "complete" if manifest.complete else "partial, not complete"
        facts["sources"] = manifest.sources
        facts["version"] = manifest.version
        facts["versions"] = manifest.versions
        facts["left_out"] = manifest.left_out
        facts["digests"] = manifest.digests
        facts["problem"] = _problem(manifest, directory)
    if growing:
        facts["state"] = "partial, being written"
    if growing or (manifest is not None and not manifest.complete):
        return facts | _so_far(directory, quiet=quiet)
    return facts | _finished(directory, manifest, untrusted=untrusted, quiet=quiet)


def _so_far(directory: str, *, quiet: bool) -> dict[str, Any]:
    """Learn what there is of a database that is not complete, and may grow meanwhile."""
    from rs_tensor_encoder.storage.unfinished import Unfinished

    with Unfinished(directory) as found:
        return _scan(found.records(), found.count(), quiet=quiet) | {"file_bytes": found.size()}


def _finished(
    directory: str, manifest: "Manifest | None", *, untrusted: bool, quiet: bool
) -> dict[str, Any]:
    """Learn from the engine, and from the manifest where it says it, what a database holds."""
    from rs_tensor_encoder.storage.environment import DATA, open_reading, require_sound
    from rs_tensor_encoder.storage.safetensors_header import header_of
    from rs_tensor_encoder.storage.unfinished import Record

    if untrusted:
        require_sound(directory)
    with (
        open_reading(directory) as env,
        env.begin(buffers=True) as txn,
        txn.cursor() as cursor,
    ):
        patches = env.stat()["entries"]
        if manifest is None or not manifest.complete or manifest.patches != patches:
            records = (Record(bytes(key), len(value), header_of(value)) for key, value in cursor)
            facts = _scan(records, patches, quiet=quiet)
        else:
            ends = [bytes(cursor.key()) for move in (cursor.first, cursor.last) if move()]
            facts = {"patches": patches, "keys": list(map(_text, ends)), "other": 0}
            facts |= {"bytes": manifest.bytes, "tensors": manifest.tensors}
    return facts | {"file_bytes": os.path.getsize(os.path.join(directory, DATA))}


def _text(key: bytes) -> str:
    return key.decode("utf-8", "backslashreplace")


def _problem(manifest: "Manifest", target: str) -> str | None:
    """Say what is wrong with the digests beside a complete database."""
    from rs_tensor_encoder.errors import TargetError
    from rs_tensor_encoder.storage import digest_file

    if manifest.complete and digest_file.beside(target):
        try:
            manifest.open_digests(target)
        except TargetError as error:
            return str(error)
    return None


def _scan(records: "Iterable[Record]", total: int, *, quiet: bool) -> dict[str, Any]:
    """Learn from the values themselves what they hold."""
    from rs_tensor_encoder.cli.progress import Progress
    from rs_tensor_encoder.storage.manifest import tensor_table

    headers: Counter[bytes] = Counter()
    patches = size = other = 0
    ends: list[bytes] = []
    with Progress("read", total, quiet=quiet) as progress:
        for record in records:
            patches += 1
            size += record.size
            ends[1 if ends else 0 :] = [record.key]
            if record.header is None:
                other += 1
            else:
                headers[record.header] += 1
            progress.update(1, record.size)
    return {
        "patches": patches,
        "bytes": size,
        "keys": list(map(_text, ends)),
        "tensors": tensor_table(headers),
        "other": other,
    }


def _grouped(tensors: list[dict[str, Any]]) -> list[tuple[str, str, str, int]]:
    """Put neighbours that differ in name only on one line: B1 ... B224."""
    rows: list[tuple[str, str, str, int]] = []
    for tensor in tensors:
        shape = " x ".join(map(str, tensor["shape"]))
        row = (tensor["name"], tensor["dtype"], shape, tensor["patches"])
        if rows and rows[-1][1:] == row[1:]:
            first = rows[-1][0].partition(" ... ")[0]
            rows[-1] = (f"{first} ... {row[0]}", *row[1:])
        else:
            rows.append(row)
    return rows
