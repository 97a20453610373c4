"""Options that several verbs share: the target, what is said, and how."""

import os
import re
from typing import Any

import click

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


class Size(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A number of bytes, with or without a unit."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Turn "4GiB" into a number; the limits are those of the decoder."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d+) ?([KMG]I?B)?", value.upper(), re.ASCII)
        size = int(found[1][:20]) * _UNITS[found[2] or ""] if found else 0
        if not 0 < size < 1 << 45:
            self.fail(f"{value!r} is not a size below 32 TiB: write 4GiB, 500MB, ...", param, ctx)
        return size


target_argument = click.argument("target", type=click.Path(readable=False))

workers_option = click.option(
    "--workers",
    type=click.IntRange(min=1, max=1024),
    metavar="N",
    help="How many to work with at the same time; by default chosen for this machine.",
)
limit_option = click.option(
    "--max-file-size",
    "limit",
    type=Size(),
    default="1GiB",
    show_default=True,
    metavar="SIZE",
    help="Refuse files that are larger, or whose pixels would be: 4GiB, 500MB, ...",
)
untrusted_option = click.option(
    "--untrusted",
    is_flag=True,
    help="TARGET is from others: do not open it unless all of its structure was verified.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object instead of text."
)
quiet_option = click.option(
    "-q", "--quiet", is_flag=True, help="Show no progress, only results and errors."
)
verbose_option = click.option(
    "-v", "--verbose", is_flag=True, help="List every failure or difference, however many."
)


def clean_target(target: str) -> str:
    """Strip what a shell's completion leaves at the end of a directory's name.

    The file in a database's directory stands for the directory.
    """
    directory = clean_directory(target, "TARGET")
    if os.path.basename(directory) == "data.mdb" and os.path.isfile(directory):
        return os.path.dirname(directory) or "."
    return directory


def _refuse_unexpanded(path: str, option: str) -> None:
    """Refuse what would be a directory of a strange name: what a shell has not replaced, a URL."""
    if re.match(r"[a-z][a-z0-9+.-]*://", path):
        raise click.UsageError(
            f"{option} is a URL ({path}): download the dataset, and name its directory."
        )
    found = re.match(r"~|\$\w|\$\{", path)
    first = path.partition("/")[0]
    if found and not os.path.lexists(first):
        raise click.UsageError(
            f"{option} is {path!r}: that names a directory called {first!r} here, because a shell "
            f"replaces {found[0][0]} only outside of quotes and at the beginning of a word. Write "
            f"the whole path, or ./{path} if the directory is called so."
        )


def clean_directory(path: str, option: str) -> str:
    """Strip slashes at the end of a directory's name; the option is named if it is empty."""
    if not path:
        raise click.UsageError(f"{option} is empty: name a directory.")
    _refuse_unexpanded(path, option)
    # Not more than the end: "link/.." must stay what the system takes it for.
    return path.rstrip("/") or "/"
