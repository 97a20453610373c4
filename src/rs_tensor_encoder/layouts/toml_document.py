"""A TOML file whose mistakes can be named by key and line.

`tomllib` tells no line numbers. But a TOML file cut off between two statements
is a TOML file, and one cut off inside a statement is none: so the line on which
a key is set is found by reading ever more lines.
"""

import re
import tomllib
from typing import Any

from rs_tensor_encoder.errors import LayoutError

_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")

# Lines beyond which a key is not looked for: the time is quadratic.
_LINES = 500


class Document:
    """A TOML file and what it is called in messages.

    Parameters
    ----------
    name : str
        What the file is called.
    text : bytes
        The file.

    Raises
    ------
    LayoutError
        If it is no TOML file; the text names the line.
    """

    def __init__(self, name: str, text: bytes) -> None:
        self.name = name
        try:
            self.text = text.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            line = text.count(b"\n", 0, error.start) + 1
            raise LayoutError(
                f"layout {name}, line {line}: not a TOML file: it is not UTF-8"
            ) from None
        try:
            self.data = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            found = _PLACE.search(str(error))
            reason = _PLACE.sub("", str(error))
            line = self.text.rstrip().count("\n") + 1
            if found and found.group(1):
                line = int(found.group(1))
            raise LayoutError(f"layout {name}, line {line}: not a TOML file: {reason}") from None
        except RecursionError:
            raise LayoutError(f"layout {name}: not a TOML file: nested too deeply") from None

    def line(self, *path: str | int) -> int | None:
        """Find the line on which a key or a table is set, 1-based; None if it is not."""
        lines = self.text.split("\n")[:_LINES]
        whole = 0
        for end in range(1, len(lines) + 1):
            try:
                data = tomllib.loads("\n".join(lines[:end]))
            except tomllib.TOMLDecodeError:
                continue
            if _has(data, path):
                blank = (number for number in range(whole, end) if _says(lines[number]))
                return next(blank, whole) + 1
            whole = end
        return None

    def error(self, message: str, *path: str | int) -> LayoutError:
        """Make an error that names the line of a key, or of the table that lacks it."""
        for length in range(len(path), 0, -1):
            line = self.line(*path[:length])
            if line is not None:
                return LayoutError(f"layout {self.name}, line {line}: {message}")
        return LayoutError(f"layout {self.name}: {message}")


def _has(data: Any, path: tuple[str | int, ...]) -> bool:
    for step in path:
        if isinstance(step, int):
            if not isinstance(data, list) or len(data) <= step:
                return False
        elif not isinstance(data, dict) or step not in data:
            return False
        data = data[step]
    return True


def _says(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")
