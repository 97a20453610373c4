"""The options that name sources: one per dataset, and those for a user's own."""

import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from itertools import groupby
from typing import Any, TypeVar

import click

from rs_tensor_encoder.cli import VERBS, original
from rs_tensor_encoder.cli.options import clean_directory
from rs_tensor_encoder.layouts.parser import Layout, builtin, read, similar
from rs_tensor_encoder.sources.plan import Source

_Function = TypeVar("_Function", bound=Callable[..., Any])


# What to do where no source is named, or not as such.
_HOW = "for example --hyspecnet DIR; rs-tensor-encoder layouts lists all datasets."

# Words that are too many and shown before the rest is only counted.
_SHOWN = 3


class DatasetCommand(click.Command):
    """A verb that takes datasets, whose help lists their options by family."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take one word without an option, TARGET; of others say what they should have been."""
        ctx.allow_extra_args = True
        alone = len(args) == 1
        hint = original.hint_for_words(args, {"--layout", *(x.option for x in builtin())})
        if hint:
            raise click.UsageError(hint, ctx)
        try:
            rest = super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            hint = original.hint_for_option(error.option_name)
            if hint:
                raise click.UsageError(hint, ctx) from None
            raise
        if (alone or rest) and not ctx.resilient_parsing:
            wrong = _no_verb(ctx.params["target"])
            if wrong or rest:
                raise click.UsageError(wrong or _too_many([ctx.params["target"], *rest]), ctx)
        return rest

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
        (_own(path), clean_directory(root, f"--layout {path}")) for path, root in values["own"]
    ]
    known = Counter((layout.digest, os.path.realpath(root)) for layout, root in given)
    for (_, root), count in known.items():
        if count > 1:
            raise click.UsageError(f"The same directory is given twice for one option: {root}")
    if not given:
        raise click.UsageError(f"Name at least one source, {_HOW}")
    _check_requests(values["with_"], [layout for layout, _ in given])
    return [Source(layout.asking(values["with_"]), root) for layout, root in given]


def _own(path: str) -> Layout:
    """Read a user's own layout; the name of one that we have is a mistake that can be helped."""
    ours = [] if os.path.lexists(path) else similar(path)
    if ours:
        options = " or ".join(f"{layout.option} ROOT" for layout in ours)
        raise click.UsageError(f"--layout {path}: there is no such file. Did you mean {options}?")
    return read(path)


def _too_many(words: Sequence[str]) -> str:
    """What to say where there are words besides TARGET that belong to no option."""
    from rs_tensor_encoder.inspection.identify import datasets
    from rs_tensor_encoder.inspection.tree_sample import look

    shown = shlex.join(words[:_SHOWN])
    more = f" and {len(words) - _SHOWN:,} more" if len(words) > _SHOWN else ""
    text = f"Got {shown}{more}, but only TARGET stands without an option."
    for layout in datasets(look(words[0])):
        return f"{text} Did you mean {shlex.join([layout.option, words[0]])}?"
    return f"{text} A source is named by its option, {_HOW}"


def _no_verb(word: str) -> str | None:
    """What to say of a target that is rather meant for a verb."""
    like = get_close_matches(word, VERBS, 1, 0.75)
    if not like or word in VERBS:
        return None
    return f"There is no verb {word}. Did you mean {like[0]}?"


def _check_requests(requests: Sequence[str], layouts: Sequence[Layout]) -> None:
    known = sorted({name for layout in layouts for name in layout.requests})
    for request in requests:
        if request not in known:
            there = f"there are: {', '.join(known)}" if known else "they have none to ask for"
            raise click.UsageError(f"--with {request}: no such files in these datasets; {there}.")
