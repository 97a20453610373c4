"""Templates of keys and paths, ranges of bands, and what a regular expression is about."""

import re
import string
from collections.abc import Collection, Iterator

_RANGE = re.compile(r"(.*)\{(\d+)\.\.(\d+)\}(.*)", re.DOTALL)

#: More bands than any sensor has, and fewer than make a layout slow.
MOST_BANDS = 10_000

# Digits of a number in a band's name, beyond which it is taken for text.
_DIGITS = 9


def fields(template: str) -> list[str]:
    """Names in the braces of a template.

    Raises
    ------
    ValueError
        If it is no template; the text says what is wrong with it.
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError:
        raise ValueError("each { must have its }, with a name in between") from None
    if any(form or conversion for _, _, form, conversion in parts):
        raise ValueError("between { and } there may be a name only")
    return [field for _, field, _, _ in parts if field is not None]


def check(template: str, known: Collection[str]) -> None:
    """Refuse a template that cannot be filled.

    Raises
    ------
    ValueError
        If it is not valid, or uses a name that is not among the known ones.
    """
    for field in fields(template):
        if field not in known:
            groups = ", ".join(f"{{{name}}}" for name in sorted(known))
            raise ValueError(
                f"{{{field}}} in {template!r} is neither {{name}} nor a named group of 'path' "
                f"(there are: {groups})"
            )


def check_path(template: str, above: int) -> None:
    """Refuse the path of a file that is not one below the root.

    Parameters
    ----------
    template : str
        The path, relative to the directory of its patch.
    above : int
        Directories between the root and that directory, at least.

    Raises
    ------
    ValueError
        If it is absolute, leads above the root, or names a directory.
    """
    parts = template.split("/")
    up = next((index for index, part in enumerate(parts) if part != ".."), len(parts))
    if any(part in ("", ".", "..") for part in parts[up:]) or "\0" in template:
        raise ValueError(f"{template!r} must be a relative path; .. is for its beginning only")
    if up > above:
        raise ValueError(
            f"{template!r} may lead above the root: 'path' must name the directories that .. leaves"
        )


def expand(band: str) -> list[str]:
    """Write out a row of bands: ``B{1..3}`` is B1, B2, B3.

    Raises
    ------
    ValueError
        If the row goes down, or on and on.
    """
    found = _RANGE.fullmatch(band)
    if found is None:
        return [band]
    before, first, last, after = found.groups()
    if max(len(first), len(last)) > _DIGITS or not 0 <= int(last) - int(first) < MOST_BANDS:
        raise ValueError(f"{band!r} must go up, and to fewer than {MOST_BANDS} bands")
    return [f"{before}{i}{after}" for i in range(int(first), int(last) + 1)]


def shorten(bands: Collection[str]) -> str:
    """Write names for people: rows of four and more as ``B1 ... B224``."""
    rows: list[list[str]] = []
    for band in bands:
        if rows and _follows(rows[-1][-1], band):
            rows[-1].append(band)
        else:
            rows.append([band])
    return " ".join(f"{row[0]} ... {row[-1]}" if len(row) > 3 else " ".join(row) for row in rows)


def _follows(one: str, other: str) -> bool:
    name, number = _split(one)
    return (name, number + 1) == _split(other) and number >= 0


def _split(band: str) -> tuple[str, int]:
    """Cut the number from the end of a band's name; -1 if there is none."""
    name = band.rstrip(string.digits)
    digits = band[len(name) :]
    return name, int(digits) if 0 < len(digits) <= _DIGITS else -1


def components(pattern: str) -> int:
    """Number of path components that an expression is about: slashes in sets do not count."""
    return sum(character == "/" for character in _outside_sets(pattern)) + 1


def _outside_sets(pattern: str) -> Iterator[str]:
    inside = False
    previous = ""
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            next(characters, None)
            previous = ""
        elif inside:
            # A bracket that comes first belongs to the set.
            inside = character != "]" or previous in ("[", "[^")
            previous = previous + character if previous == "[" and character == "^" else ""
        elif character == "[":
            inside, previous = True, "["
        else:
            yield character
