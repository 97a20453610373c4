"""The directory that is made: what it may be, who may write to it, what is there already.

Everything is written to ``TARGET.partial``. At the end it is verified, counted
and renamed: a target is complete or absent.
"""

import mmap
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from rs_tensor_encoder.errors import (
    EncoderError,
    TargetError,
    writing_failed,
)
from rs_tensor_encoder.storage import digest_file, hosts, journal, locking, manifest
from rs_tensor_encoder.storage.environment import DATA, LOCK, can_verify, verify
from rs_tensor_encoder.storage.manifest import FAILURES, Manifest, remove
from rs_tensor_encoder.storage.preflight import require_free
from rs_tensor_encoder.util import sync
from rs_tensor_encoder.util.text import counted

# What may stand in a partial target (".new" is left by a kill while a file is written), in
# the order in which it is removed: the manifest says of the rest whether it can be trusted.
_OURS = (
    DATA,
    LOCK,
    journal.NAME,
    *(name + ".new" for name in hosts.COPIED),
    *(name + end for name in (digest_file.NAME, FAILURES, manifest.NAME) for end in (".new", "")),
)


@contextmanager
def locked(partial: str) -> Iterator[None]:
    """Make the directory and hold it against other encoders, as long as this process lives."""
    try:
        os.makedirs(partial, exist_ok=True)
        descriptor = os.open(partial, os.O_RDONLY)
    except OSError as error:
        raise TargetError(f"{partial}: cannot be made: {error.strerror}") from None
    try:
        with locking.exclusive(descriptor, partial):
            if not os.access(partial, os.W_OK | os.X_OK):
                raise TargetError(f"{partial}: no permission to write there")
            foreign = sorted(filter(_is_foreign, os.listdir(partial)))
            if foreign:
                raise TargetError(
                    f"{partial}: holds files that are not ours, for example {foreign[0]}; move "
                    "them away, or choose another target"
                )
            yield
    finally:
        os.close(descriptor)


def _is_foreign(name: str) -> bool:
    # NFS keeps a file that was removed under such a name as long as somebody reads it.
    return name not in _OURS and name not in locking.NAMES and not name.startswith(".nfs")


def resume(new: Manifest, partial: str) -> str | None:
    """Look at what an earlier run has left: go on with it, clear it away, or refuse it.

    Parameters
    ----------
    new : Manifest
        Of the run that begins.
    partial : str
        The directory, locked.

    Returns
    -------
    str or None
        What the user should know.

    Raises
    ------
    TargetError
        If it is damaged, of unknown origin, or from other sources.
    """
    data = os.path.join(partial, DATA)
    if os.path.isfile(data) and os.path.getsize(data) == 0:
        # Stopped before anything was in it: not even a database.
        remove(data)
    old = require_same(new, partial)
    if old is None:
        if os.path.exists(data):
            raise TargetError(
                f"{partial}: holds a database of unknown origin; remove it, or use --restart"
            )
        return None
    if hosts.is_elsewhere(old, new):
        return _from_elsewhere(old, new, partial)
    if not old.survived():
        clear(partial)
        return hosts.why_not_trusted(old, new)
    problems = _problems(partial)
    if problems:
        raise TargetError(f"{partial}: is damaged ({problems[0]}); use --restart to begin anew")
    return None


def require_same(new: Manifest, partial: str) -> Manifest | None:
    """Refuse what an earlier run has left if that was begun from other sources.

    Returns
    -------
    Manifest or None
        That of the earlier run, if it has left one.

    Raises
    ------
    TargetError
        If it is damaged, or from other sources.
    """
    try:
        old = Manifest.load(partial)
    except TargetError as error:
        raise TargetError(f"{error}; use --restart to begin anew") from None
    if old is not None and old.sources != new.sources:
        roots = ", ".join(manifest.name_source(source) for source in old.sources)
        raise TargetError(
            f"{partial}: was begun from other sources ({roots}); give the same ones to go on, or "
            "--restart to begin anew"
        )
    return old


def _problems(partial: str, *, strict: bool = False) -> list[str]:
    """Say what is wrong with the database of an earlier run, if there is one."""
    data = os.path.join(partial, DATA)
    if not os.path.exists(data):
        return []
    if os.path.getsize(data) < 2 * mmap.PAGESIZE:
        # The disk was full before LMDB's first two pages were there: no record is.
        remove(data)
        return []
    return verify(partial, strict=True) if strict else verify(partial)


def _from_elsewhere(old: Manifest, new: Manifest, partial: str) -> str:
    """Go on with what a run on another host has left, if all of its structure is proved sound.

    Whether that host lost power is not known: any page may be missing. No page is used twice
    where the structure is sound, and then values that agree with their digests are right.
    """
    known = f"the last run was on the host {old.host}, and not on this one ({new.host})"
    problems = _problems(partial, strict=True)
    if problems:
        clear(partial)
        return f"{known}, and its database is not whole ({problems[0]}): begun anew"
    # The state of locks among the processes of that host.
    remove(os.path.join(partial, LOCK))
    return f"{known}: every record was compared with the digest that was noted of it"


def clear(partial: str) -> None:
    """Remove what an earlier run has left."""
    for name in _OURS:
        remove(os.path.join(partial, name))


def finish(
    state: Manifest, partial: str, target: str, keys: Sequence[bytes], notes: list[str]
) -> bool:
    """Prove the database, say that it is complete, and give it its name.

    Parameters
    ----------
    state : Manifest
        Of the database, which is closed and on the disk.
    partial, target : str
        What it is called, and what it will be.
    keys : sequence of bytes
        Of the records that it must have, in order.
    notes : list of str
        Takes what the user should know.

    Returns
    -------
    bool
        Whether its structure was verified; False where ``lmdb`` has no verifier.
    """
    if state.patches != len(keys):
        raise EncoderError(
            f"{partial}: has {counted(state.patches, 'record')} instead of {len(keys)}; this is a "
            "defect of rs-tensor-encoder, please report it"
        )
    problems = verify(partial)
    if problems:
        raise TargetError(f"{partial}: the database is damaged: {problems[0]}; use --restart")
    state.digests = digest_file.write(
        os.path.join(partial, digest_file.NAME), _evidence(partial, keys), len(keys)
    )
    state.complete = True
    state.save(partial)
    try:
        require_free(target)
    except TargetError:
        raise TargetError(f"{target}: was made meanwhile; the result is in {partial}") from None
    try:
        if os.path.isdir(target):
            # Who has made it may have had a reason for its mode, as mktemp has.
            os.chmod(partial, stat.S_IMODE(os.stat(target).st_mode))
        os.rename(partial, target)
        synced = sync.sync_directory(os.path.dirname(os.path.abspath(target)))
    except OSError as error:
        raise writing_failed(target, error) from None
    if not synced:
        notes.append(
            f"{target}: the directory that it is in cannot be synced, so a power loss within the "
            f"next minutes may take its name: then it is called {partial} again, or is not there"
        )
    # Not before the name is on the disk: a run that goes on notices by it files that were
    # edited. One that a kill leaves in a target does no harm: nobody asks for it there.
    # What failed stands in the manifest, too.
    for name in (journal.NAME, FAILURES):
        with suppress(OSError):
            os.remove(os.path.join(target, name))
    return can_verify()


def _evidence(partial: str, keys: Iterable[bytes]) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield key, length and digest of each record, in the order of the keys."""
    with journal.Journal(partial) as notes:
        entries = notes.entries()
        for key in keys:
            entry = next(entries, None)
            # An entry without a record is of a commit that did not come about.
            while entry is not None and entry[0] < key:
                entry = next(entries, None)
            if entry is None or entry[0] != key:
                raise EncoderError(
                    f"{partial}: has no digest of {key!r}; this is a defect of rs-tensor-encoder, "
                    "please report it"
                )
            yield entry[:3]
