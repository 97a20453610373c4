"""What a power loss leaves of a directory: what was synced, and of the rest what chance leaves.

The model is pessimistic: a page that was written behind the last sync of its
file is there or not, each by itself; so is the file's new length, a name that
was given behind the last sync of its directory, and a new directory.
"""

import os
import shutil

PAGE = 4096


def lose_power(field, synced, chance):
    """Cut a trial's directory back to what may be there behind a power loss.

    ``synced`` is where the shim has put copies of what was synced; the process
    that wrote is dead. Returns how many pages and names are not what they were.
    """
    done = field.calls()
    if done[-1][1] == "1":
        # Whether the last one came to pass is for chance, too.
        done = done[: -chance.randrange(2) or None]
    renames = [(at, call[2:]) for at, call in enumerate(done) if call[0] == "rename"]
    syncs = {(at, call[2]): call[3] for at, call in enumerate(done) if call[0] == "sync"}
    lasting = {path: at for at, path in syncs}
    lost = 0
    final = [at for at, names in renames if names[1] == str(field.target)]
    if field.target.exists() and not (final and lasting.get(str(field.place), -1) > final[-1]):
        if chance.randrange(2):
            field.target.rename(field.partial)
            lost += 1
    elif str(field.place) not in lasting and chance.randrange(10) == 0:
        shutil.rmtree(field.partial, ignore_errors=True)
        lost += 1
    directory = field.target if field.target.exists() else field.partial
    if not directory.exists():
        return lost
    lasted = lasting.get(str(field.partial), -1)
    renamed = {names[1] for _, names in renames} - {"", str(field.target)}
    for path in sorted(directory.iterdir()):
        name = str(field.partial / path.name)
        if name in renamed:
            continue
        lost += _cut_back(path, synced / str(path.stat().st_ino), chance)
        made = [at for at, call in enumerate(done) if call[0] == "open" and call[2] == name]
        if lasted < (made[0] if made else len(done)) and chance.randrange(4) == 0:
            path.unlink()
            lost += 1
    for name in sorted(renamed):
        lost += _rename_back(
            name, directory / os.path.basename(name), lasted, renames, syncs, synced, chance
        )
    return lost


def _cut_back(path, copy, chance):
    """Take back pages, and the length, of a file to those of its last sync; how many of them."""
    before = copy.read_bytes() if copy.exists() else b""
    now = path.read_bytes()
    pages = range(0, max(len(now), len(before)), PAGE)
    # A few pages of thousands are most likely within values, which only their digests tell.
    share = chance.choice([0.0005, 0.1, 0.5, 0.9, 1])
    after = bytearray(now)
    for at in pages:
        if now[at : at + PAGE] != before[at : at + PAGE] and chance.random() < share:
            after[at : at + PAGE] = before[at : at + PAGE].ljust(len(now[at : at + PAGE]), b"\0")
    if chance.randrange(3) == 0 and len(now) > len(before):
        del after[chance.randrange(len(before), len(now) + 1) // PAGE * PAGE :]
    path.write_bytes(after)
    return sum(after[at : at + PAGE] != now[at : at + PAGE] for at in pages)


def _rename_back(name, path, lasted, renames, syncs, synced, chance):
    """Give a name to one of the files that had it since its directory was last synced.

    Returns whether that is another one than before.
    """
    versions = [None]
    for at, (old, new) in renames:
        if new == name:
            inodes = [number for (when, what), number in syncs.items() if what == old and when < at]
            # A file must be on the disk before it takes a name that others trust.
            assert inodes, f"{old} was renamed before it was synced"
            if at < lasted:
                versions.clear()
            versions.append(inodes[-1])
    chosen = chance.choice(versions)
    path.unlink(missing_ok=True)
    lost = chosen != versions[-1]
    if chosen is not None:
        shutil.copy(synced / chosen, path)
    return lost
