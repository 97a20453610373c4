"""Options that several verbs share: the sources, what is said, and how."""

import os
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import click

from rs_tensor_encoder.layout import Layout, builtin
from rs_tensor_encoder.sources import Source

_Function = TypeVar("_Function", bound=Callable[..., Any])

target_argument = click.argument("target", type=click.Path(readable=False))

workers_option = click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many to work with at the same time; by default chosen for this machine.",
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


def source_options(function: _Function) -> _Function:
    """Add the option of every layout; together they become the argument ``sources``."""
    for layout in reversed(builtin()):
        function = click.option(
            layout.option,
            _parameter(layout),
            type=click.Path(readable=False),
            multiple=True,
            metavar="DIR",
            help=f"Root of {layout.title}.",
        )(function)
    return function


def _parameter(layout: Layout) -> str:
    return layout.name.replace("-", "_")


def take_sources(values: dict[str, Any]) -> list[Source]:
    """Turn the values of `source_options` into sources, in the order of the layouts.

    Raises
    ------
    click.UsageError
        If none was given, or one twice.
    """
    sources = [
        Source(layout, _directory(root, layout.option))
        for layout in builtin()
        for root in values[_parameter(layout)]
    ]
    known = Counter((source.layout.name, os.path.realpath(source.root)) for source in sources)
    for (_, root), count in known.items():
        if count > 1:
            raise click.UsageError(f"The same directory is given twice for one option: {root}")
    if not sources:
        names = ", ".join(layout.option for layout in builtin())
        raise click.UsageError(f"Name at least one source: {names}.")
    return sources


def clean_target(target: str) -> str:
    """Strip what a shell's completion leaves at the end of a directory's name.

    The file in a database's directory stands for the directory.
    """
    directory = _directory(target, "TARGET")
    if os.path.basename(directory) == "data.mdb" and os.path.isfile(directory):
        return os.path.dirname(directory) or "."
    return directory


def _directory(path: str, option: str) -> str:
    if not path:
        raise click.UsageError(f"{option} is empty: name a directory.")
    # Not more than the end: "link/.." must stay what the system takes it for.
    return path.rstrip("/") or "/"


def megabytes(size: float) -> str:
    """Write a size for people: MB below 10 GB, GB from there on."""
    return f"{size / 1e6:,.1f} MB" if size < 1e10 else f"{size / 1e9:,.1f} GB"


def counted(number: int, noun: str) -> str:
    """Write a number and what it counts: "1 patch", "2,000 patches"."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun}es" if noun.endswith("ch") else f"{number:,} {noun}s"
