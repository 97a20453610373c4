"""The expression of the paths of patches, and their key: patches match, nothing else does."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from rs_tensor_encoder.errors import LayoutError, SourceError
from rs_tensor_encoder.inference.regex_builder import MOST_NAMES, generalise, quote
from rs_tensor_encoder.layouts.files_section import stem
from rs_tensor_encoder.layouts.linear_regex import Expression
from rs_tensor_encoder.layouts.templates import components

# How strict the expressions of directories and of names are, the most readable first.
_LEVELS = ((0, 0), (1, 0), (1, 1), (2, 1), (2, 2))

#: A component that no path has: what follows lies below the root directly.
ROOT = r"(?:\./)?"


@dataclass(frozen=True)
class Address:
    """The ``path`` and the ``key`` of a layout."""

    path: str
    key: str


def narrow(
    patches: Sequence[str],
    others: Iterable[str],
    *,
    base: str = "",
    named: Collection[int] = (),
    least: int = 1,
) -> Address | None:
    """Find an expression that matches these patches and no others, and a key that is unique.

    Parameters
    ----------
    patches : sequence of str
        Their paths below the root, without extension.
    others : iterable of str
        Paths that must not match.
    base : str
        What comes behind the part of the name that other files share.
    named : collection of int
        Components, counted from the end, that templates of paths name.
    least : int
        Components that the expression is about, at least.

    Returns
    -------
    Address or None
        None if there is no such expression, or no such key.
    """
    rows = [path.split("/") for path in patches]
    rest = [path.split("/") for path in others]
    shallow, deep = min(map(len, rows)), max(map(len, rows))
    least = max([1, least, *(index + 1 for index in named)])
    # The ways to write it down that have been found unfit, which other levels may share.
    unfit: set[str] = set()
    for folders, names in _LEVELS:
        last = _last(rows, base, names)
        found = []
        for depth in range(least, shallow + 1):
            address = _of_depth(rows, depth, last, base, named, folders)
            if address:
                found.append(address)
                if depth == deep:
                    found.append(Address(ROOT + address.path, address.key))
        # Where patches lie at several depths, all that leads to them tells them apart.
        if shallow < deep and not named and least <= shallow:
            path, key = _of_any_depth(rows, last, base, folders)
            found += [Address(path, key), Address(ROOT + path, key)]
        for address in found:
            if address.path not in unfit and not _matches_any(address.path, rest):
                return address
            unfit.add(address.path)
    return None if base or named else _of_whole_paths(patches, rest, least)


def _of_whole_paths(
    patches: Sequence[str], rest: Sequence[Sequence[str]], least: int
) -> Address | None:
    """Write down all paths, if they are few."""
    pattern = f"(?P<path>{'|'.join(quote(path) for path in sorted(patches))})"
    if len(patches) > MOST_NAMES or least > min(path.count("/") + 1 for path in patches):
        return None
    unique = len({path.rpartition("/")[2] for path in patches}) == len(patches)
    address = Address(pattern, "{name}" if unique else "{path}")
    return None if _matches_any(address.path, rest) else address


def _last(rows: Sequence[Sequence[str]], base: str, level: int) -> str:
    """An expression for the last component."""
    names = [row[-1].removesuffix(base) for row in rows]
    pattern = generalise(names, level)
    if base:
        pattern = f"(?P<id>{pattern}){quote(base)}"
    # A layout may not end in an extension, since it would usually be a mistake.
    return f"(?:{pattern})" if stem(pattern.replace("\\.", ".")) is not None else pattern


def _of_depth(
    rows: Sequence[Sequence[str]],
    depth: int,
    last: str,
    base: str,
    named: Collection[int],
    level: int,
) -> Address | None:
    """Write an expression of so many components; None if they do not tell patches apart."""
    needed = [0]
    while len({tuple(row[-1 - i] for i in needed) for row in rows}) < len(rows):
        if len(needed) == depth:
            return None
        needed.append(len(needed))
    # Components that do not tell patches apart stay out of the key.
    telling = [i for i in needed[1:] if len({row[-1 - i] for row in rows}) > 1]
    own = "{id}" if base else "{name}"
    keys = [[*(row[-1 - i] for i in reversed(telling)), row[-1].removesuffix(base)] for row in rows]
    # Two paths may be the same text once joined, but not by what no component has.
    joint = "_" if len({"_".join(key) for key in keys}) == len(rows) else "/"
    parts = [last]
    for i in range(1, depth):
        pattern = _component({row[-1 - i] for row in rows}, len(rows), level)
        parts.append(f"(?P<folder{i}>{pattern})" if i in telling or i in named else pattern)
    return Address(
        "/".join(reversed(parts)),
        joint.join([*(f"{{folder{i}}}" for i in reversed(telling)), own]),
    )


def _of_any_depth(
    rows: Sequence[Sequence[str]], last: str, base: str, level: int
) -> tuple[str, str]:
    """Write an expression of all components, of which those that not all paths have are optional.

    The key is the whole path, which is unique.
    """
    shallow, deep = min(map(len, rows)), max(map(len, rows))
    before = ""
    for i in range(deep - 1, 0, -1):
        deeper = [row for row in rows if len(row) > i]
        pattern = _component({row[-1 - i] for row in deeper}, len(deeper), level)
        before = f"{before}{pattern}/" if i < shallow else f"(?:{before}{pattern}/)?"
    return f"(?P<folders>{before}){last}", "{folders}" + ("{id}" if base else "{name}")


def _component(values: Collection[str], patches: int, level: int) -> str:
    """An expression for a directory; one that patches share is meant as it is, unless a number."""
    if len(values) == 1 < patches and not next(iter(values)).isdigit():
        return quote(next(iter(values)))
    return generalise(sorted(values), level)


def _matches_any(path: str, rows: Iterable[Sequence[str]]) -> bool:
    """Tell whether an expression matches the end of one of these paths, or cannot be used."""
    depth = components(path)
    try:
        pattern = Expression(path)
        return any(pattern.fullmatch("/".join(row[-depth:])) is not None for row in rows)
    except (LayoutError, SourceError):
        # It takes too much memory, or matches a name that cannot be a key.
        return True
