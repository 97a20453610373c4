"""The options that name sources: one per dataset, and those for a user's own."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, TypeVar

import click

from rs_tensor_encoder.cli.options import clean_directory
from rs_tensor_encoder.layout import Layout, builtin, read
from rs_tensor_encoder.sources import Source

_Function = TypeVar("_Function", bound=Callable[..., Any])


class DatasetCommand(click.Command):
    """A verb whose help lists the options of datasets apart from the others, by family."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the general options first, then a list of families of datasets."""
        datasets = {layout.option for layout in builtin()}
        records = [
            param.get_help_record(ctx)
            for param in self.get_params(ctx)
            if isinstance(param, click.Option) and param.opts[0] not in datasets
        ]
        with formatter.section("Options"):
            formatter.write_dl([record for record in records if record is not None])
        rows = []
        for family, layouts in families():
            rows.append((family, ""))
            rows += [(f"  {layout.option} DIR", short_title(layout)) for layout in layouts]
        with formatter.section("Datasets (an option names a root, and may be repeated)"):
            formatter.write_dl(rows, col_max=40)


def families() -> Iterator[tuple[str, list[Layout]]]:
    """Families of layouts, sorted, and the layouts of each, sorted by option."""
    found = sorted(builtin(), key=lambda layout: (layout.family.lower(), layout.option))
    for family, layouts in groupby(found, lambda layout: layout.family):
        yield family, list(layouts)


def short_title(layout: Layout) -> str:
    """The title of a layout below the name of its family."""
    return layout.title.removeprefix(layout.family).strip() or layout.title


def source_options(function: _Function) -> _Function:
    """Add the option of every layout, ``--layout`` and ``--with``.

    Together they become the argument ``sources``, for `take_sources`.
    """
    for layout in reversed(builtin()):
        function = click.option(
            layout.option,
            _parameter(layout),
            type=click.Path(readable=False),
            multiple=True,
            metavar="DIR",
            help=f"Root of {layout.title}.",
        )(function)
    function = click.option(
        "--with",
        "with_",
        multiple=True,
        metavar="NAME",
        help="Read these files of a dataset, too, such as masks (layouts NAME shows which).",
    )(function)
    return click.option(
        "--layout",
        "own",
        nargs=2,
        type=click.Path(readable=False),
        multiple=True,
        metavar="FILE ROOT",
        help="Root of a dataset of your own, as a layout file describes it (see layouts --help).",
    )(function)


def _parameter(layout: Layout) -> str:
    return layout.name.replace("-", "_")


def take_sources(values: dict[str, Any]) -> list[Source]:
    """Turn the values of `source_options` into sources, in the order of the layouts.

    Raises
    ------
    click.UsageError
        If none was given, or one twice, or none has what ``--with`` asks for.
    LayoutError
        If a layout file is not valid.
    """
    given = [
        (layout, clean_directory(root, layout.option))
        for layout in builtin()
        for root in values[_parameter(layout)]
    ]
    given += [
        (read(path), clean_directory(root, f"--layout {path}")) for path, root in values["own"]
    ]
    known = Counter((layout.digest, os.path.realpath(root)) for layout, root in given)
    for (_, root), count in known.items():
        if count > 1:
            raise click.UsageError(f"The same directory is given twice for one option: {root}")
    if not given:
        raise click.UsageError(
            "Name at least one source, for example --hyspecnet DIR; rs-tensor-encoder layouts "
            "lists all datasets."
        )
    _check_requests(values["with_"], [layout for layout, _ in given])
    return [Source(layout.asking(values["with_"]), root) for layout, root in given]


def _check_requests(requests: Sequence[str], layouts: Sequence[Layout]) -> None:
    known = sorted({name for layout in layouts for name in layout.requests})
    for request in requests:
        if request not in known:
            there = f"there are: {', '.join(known)}" if known else "they have none to ask for"
            raise click.UsageError(f"--with {request}: no such files in these datasets; {there}.")
