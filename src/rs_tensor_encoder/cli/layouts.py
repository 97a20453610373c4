"""The verb ``layouts``."""

import json
from typing import Any

import click

from rs_tensor_encoder.cli import options
from rs_tensor_encoder.cli.datasets import families, short_title
from rs_tensor_encoder.layout import Layout, builtin, text_of
from rs_tensor_encoder.templates import shorten


@click.command(
    "layouts",
    short_help="List the known datasets; show, try or guess a layout.",
    epilog="""
\b
Examples:
  rs-tensor-encoder layouts
  rs-tensor-encoder layouts eurosat-ms > my.toml
""",
)
@click.argument("name", required=False)
@options.json_option
def command(name: str | None, as_json: bool) -> int:
    """List the layouts that come with the tool, or print the one called NAME.

    A layout is a TOML file that says what a dataset looks like on disk. The
    one printed is one to start from for a dataset of your own, which is then
    encoded with --layout FILE ROOT.
    """
    if name is not None:
        layout = _find(name)
        click.echo(f"{json.dumps(_as_object(layout))}\n" if as_json else text_of(name), nl=False)
    elif as_json:
        click.echo(json.dumps([_as_object(layout) for layout in builtin()]))
    else:
        _list()
    return 0


def _find(name: str) -> Layout:
    for layout in builtin():
        if layout.name == name:
            return layout
    raise click.UsageError(
        f"There is no layout called {name}. There are: "
        f"{', '.join(layout.name for layout in builtin())}."
    )


def _list() -> None:
    for family, layouts in families():
        click.echo(family)
        for layout in layouts:
            click.echo(f"  {layout.name}: {short_title(layout)}")
            click.echo(f"    {layout.option} DIR")
            click.echo(f"    {layout.link}")
            for bands, kind, request in tensors(layout):
                asked = f" (--with {request})" if request else ""
                click.echo(f"    {shorten(bands)}: {kind}{asked}")


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
