"""The verb ``layouts``."""

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from rs_tensor_encoder.cli import options
from rs_tensor_encoder.cli.options import clean_directory
from rs_tensor_encoder.cli.output import note, say, say_json, say_left_aside, write
from rs_tensor_encoder.cli.source_options import families, short_title
from rs_tensor_encoder.layouts.parser import Layout, builtin, read, similar, text_of
from rs_tensor_encoder.layouts.templates import shorten
from rs_tensor_encoder.util.text import counted

if TYPE_CHECKING:
    from rs_tensor_encoder.inference.evaluate import Trial

# Problems, and kinds of files that nothing matched, listed before the rest is only counted.
_LISTED = 10


@click.command(
    "layouts",
    short_help="List the known datasets; show, try or guess a layout.",
    epilog="""
\b
Examples:
  rs-tensor-encoder layouts
  rs-tensor-encoder layouts eurosat-ms > my.toml
  rs-tensor-encoder layouts --guess DATASET > my.toml
  rs-tensor-encoder layouts --try my.toml DATASET
  rs-tensor-encoder --layout my.toml DATASET encoded-dataset
""",
)
@click.argument("name", required=False)
@click.option(
    "--try",
    "attempt",
    nargs=2,
    type=click.Path(readable=False),
    metavar="FILE ROOT",
    help="Show what a layout finds below ROOT, and what not; FILE may be a NAME, too.",
)
@click.option(
    "--guess",
    type=click.Path(readable=False),
    metavar="ROOT",
    help="Look at a dataset and print a layout for it, to be edited.",
)
@options.json_option
def command(
    name: str | None, attempt: tuple[str, str] | None, guess: str | None, as_json: bool
) -> int:
    """List the layouts that come with the tool, or print the one called NAME.

    A layout is a TOML file that says what a dataset looks like on disk. For a
    dataset that is not in the list, print one that is similar or have one
    guessed, edit it, try it, and encode with --layout FILE ROOT.
    """
    if sum(value is not None for value in (name, attempt, guess)) > 1:
        raise click.UsageError("Give a NAME, or --try, or --guess: one of them.")
    if attempt is not None:
        return _try(attempt[0], clean_directory(attempt[1], "--try"), as_json=as_json)
    if guess is not None:
        return _guess(clean_directory(guess, "--guess"), as_json=as_json)
    if name is not None:
        layout = _find(name)
        if as_json:
            say_json(_as_object(layout))
        else:
            write(text_of(name))
    elif as_json:
        say_json([_as_object(layout) for layout in builtin()])
    else:
        _list()
    return 0


def _find(name: str) -> Layout:
    for layout in builtin():
        if layout.name == name:
            return layout
    if like := similar(name):
        others = " or ".join(layout.name for layout in like)
        raise click.UsageError(f"There is no layout called {name}. Did you mean {others}?")
    raise click.UsageError(
        f"There is no layout called {name}. There are: "
        f"{', '.join(layout.name for layout in builtin())}."
    )


def _list() -> None:
    for family, layouts in families():
        say(family)
        for layout in layouts:
            say(f"  {layout.name}: {short_title(layout)}")
            say(f"    {layout.option} DIR")
            say(f"    {layout.link}")
            for bands, kind, request in tensors(layout):
                asked = f" (--with {request})" if request else ""
                say(f"    {shorten(bands)}: {kind}{asked}")


def tensors(layout: Layout) -> list[tuple[list[str], str, str]]:
    """The tensors of a layout's patches, for people.

    Returns
    -------
    list of (bands, kind, request)
        Names that have a type and a size in common, what these are (such as
        "uint16, 120 x 120"), and what must be asked for to have them, or "".
    """
    rows: list[tuple[list[str], str, str]] = []
    for file in layout.every:
        size = " x ".join(map(str, file.shape)) if file.shape else "sizes vary"
        kind = f"{file.dtype}, {size}" if file.dtype else size
        kind += ", not in all patches" if file.optional else ""
        if rows and rows[-1][1:] == (kind, file.on):
            rows[-1][0].extend(file.bands)
        else:
            rows.append((list(file.bands), kind, file.on))
    return rows


def _try(file: str, root: str, *, as_json: bool) -> int:
    from rs_tensor_encoder.inference.evaluate import attempt

    layout = _find(file) if similar(file) and not os.path.lexists(file) else read(file)
    # What the user has typed, for messages.
    trial = attempt(replace(layout, option=f"--try {file}"), root)
    code = 1 if trial.problems else 0
    if as_json:
        say_json({**_trial_as_object(trial), "exit_code": code})
        return code
    say(f"{root}: {counted(trial.patches, 'patch')} of {layout.title}")
    for patch in trial.shown:
        say(f"key {patch.key}")
        for found in patch.files:
            bands = shorten(found.bands)
            looks = f"{found.looks}: {bands}" if found.looks else bands
            asked = f" (--with {found.request})" if found.request else ""
            say(f"  {found.path}: {found.problem or looks}{asked}")
    if trial.patches > len(trial.shown):
        say(f"... and {counted(trial.patches - len(trial.shown), 'patch')} more")
    say_left_aside(trial.left_aside)
    for problem in trial.lacking[:_LISTED]:
        say(f"Would fail if asked for: {problem}", err=True)
    for problem in trial.problems[:_LISTED]:
        say(f"Would fail: {problem}", err=True)
    if trial.problems:
        say(
            f"{counted(len(trial.problems), 'file')} would fail of the "
            f"{counted(trial.looked_into, 'patch')} looked into",
            err=True,
        )
    _say_unmatched(trial)
    return code


def _say_unmatched(trial: "Trial") -> None:
    total = sum(count for _, count in trial.unmatched)
    part = "" if trial.whole else " among those that were looked at"
    if not total:
        say(f"No file is left over{part}.")
        return
    say(f"{counted(total, 'file')} left over{part}, which no patch has:")
    for example, count in trial.unmatched[:_LISTED]:
        say(f"  {example}" + (f" and {count - 1:,} like it" if count > 1 else ""))
    if len(trial.unmatched) > _LISTED:
        say(f"  ... and {counted(len(trial.unmatched) - _LISTED, 'other kind')} of names")


def _trial_as_object(trial: "Trial") -> dict[str, Any]:
    return {
        "layout": trial.layout.name,
        "root": trial.root,
        "patches": trial.patches,
        "shown": [
            {
                "key": patch.key,
                "path": patch.path,
                "files": [
                    {
                        "path": found.path,
                        "bands": list(found.bands),
                        "with": found.request or None,
                        "dtype": found.looks.dtype if found.looks else None,
                        "shape": [found.looks.rows, found.looks.columns] if found.looks else None,
                        "problem": found.problem,
                    }
                    for found in patch.files
                ],
            }
            for patch in trial.shown
        ],
        "looked_into": trial.looked_into,
        "problems": trial.problems,
        "lacking": trial.lacking,
        "left_over": [{"example": path, "files": count} for path, count in trial.unmatched],
        "all_looked_at": trial.whole,
        "left_aside": trial.left_aside.as_json(),
    }


def _guess(root: str, *, as_json: bool) -> int:
    from rs_tensor_encoder.inference.infer import guess

    text, remarks = guess(root)
    if as_json:
        say_json({"layout": text, "remarks": remarks})
    else:
        write(text)
    for remark in remarks:
        note(remark)
    return 0


def _as_object(layout: Layout) -> dict[str, Any]:
    return {
        "name": layout.name,
        "option": layout.option,
        "title": layout.title,
        "family": layout.family,
        "link": layout.link,
        "patch": "file" if layout.of_files else "directory",
        "path": layout.pattern.pattern,
        "key": layout.key,
        "tensors": [
            {
                "name": band,
                "dtype": file.dtype or None,
                "shape": list(file.shape) or None,
                "with": file.on or None,
                "optional": file.optional,
            }
            for file in layout.every
            for band in file.bands
        ],
    }
