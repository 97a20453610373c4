"""Regular expressions that match all names of a kind, and little else."""

import re
from collections.abc import Sequence

# From so many names on, numbers that are equal in all of them are taken to be so always.
_MANY = 10

# Different structures of names that are written side by side: usually, and in a strict expression.
_MOST_KINDS = 4
_MOST_STRICT = 24

# Different words that a strict expression writes side by side, and names that an exact one does.
_MOST_WORDS = 8
MOST_NAMES = 100

# The level of an expression that matches nothing else.
_EXACT = 2

_SETS = ("[0-9A-F]", "[A-Z0-9]", "[a-z0-9]", "[A-Za-z0-9]")


def generalise(names: Sequence[str], level: int = 0) -> str:
    """Write a regular expression that matches these names and others like them.

    Words that are the same in all of them stay; numbers and other words become
    sets, of a fixed length where all have the same. Names without a common
    structure are matched by anything.

    Parameters
    ----------
    names : sequence of str
        Names without slashes.
    level : int
        How little else may match: 0 as described; 1 where words with letters
        are written side by side if they are few; 2 where the names are, so
        that nothing else matches, unless they are more than `MOST_NAMES`.
    """
    distinct = sorted(set(names))
    if level == _EXACT and len(distinct) <= MOST_NAMES:
        return _either([quote(name) for name in distinct])
    kinds: dict[tuple[str, ...], list[list[str]]] = {}
    for name in distinct:
        words = re.split(r"([^A-Za-z0-9]+)", name)
        kinds.setdefault(tuple(words[1::2]), []).append(words[::2])
    if len(kinds) > (_MOST_STRICT if level else _MOST_KINDS):
        return "[^/]+"
    many = level > 0 or len(distinct) >= _MANY
    found = []
    for separators, rows in kinds.items():
        columns = [
            _word(list(column), many=many, strict=level > 0) for column in zip(*rows, strict=True)
        ]
        ends = [quote(text) for text in separators]
        found.append("".join(a + b for a, b in zip(columns, [*ends, ""], strict=True)))
    return _either(list(dict.fromkeys(found)))


def _either(expressions: list[str]) -> str:
    return expressions[0] if len(expressions) == 1 else f"(?:{'|'.join(expressions)})"


def quote(text: str) -> str:
    """Escape what means something in a regular expression, and nothing else."""
    return re.sub(r"([\\.^$*+?{}\[\]|()])", r"\\\1", text)


def _word(words: list[str], *, many: bool, strict: bool) -> str:
    """An expression for what stands at one place of several names."""
    distinct = sorted(set(words))
    if len(distinct) == 1 and (many or not re.search(r"\d", words[0])):
        return words[0]
    if strict and len(distinct) <= _MOST_WORDS and any(re.search("[A-Za-z]", x) for x in distinct):
        return _either(distinct)
    rows = [re.findall(r"\d+|[A-Za-z]+", word) for word in words]
    shapes = {tuple(run[0].isdigit() for run in row) for row in rows}
    if len(shapes) == 1:
        return "".join(_run(list(column)) for column in zip(*rows, strict=True))
    return _set(words, next(s for s in _SETS if all(re.fullmatch(f"{s}*", word) for word in words)))


def _run(runs: list[str]) -> str:
    """An expression for digits, or for letters."""
    if runs[0].isdigit():
        return _set(runs, r"\d")
    if len(set(runs)) == 1:
        return runs[0]
    if all(run.isupper() for run in runs):
        return _set(runs, "[A-Z]")
    return _set(runs, "[a-z]" if all(run.islower() for run in runs) else "[A-Za-z]")


def _set(words: list[str], characters: str) -> str:
    lengths = {len(word) for word in words}
    if len(lengths) > 1:
        return characters + ("*" if 0 in lengths else "+")
    length = lengths.pop()
    return characters if length == 1 else f"{characters}{{{length}}}"
