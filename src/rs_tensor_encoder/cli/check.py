"""The verb ``check``."""

import json
from typing import TYPE_CHECKING, Any

import click

from rs_tensor_encoder.cli import options
from rs_tensor_encoder.cli.datasets import DatasetCommand, source_options, take_sources
from rs_tensor_encoder.cli.interrupts import interruptible
from rs_tensor_encoder.cli.options import clean_target, counted, megabytes

if TYPE_CHECKING:
    from rs_tensor_encoder.checker import CheckReport

# Differences listed before the rest is only counted.
_LISTED = 20


@click.command(
    "check",
    cls=DatasetCommand,
    short_help="Prove that a database holds exactly what its sources hold.",
    epilog="""
\b
Examples:
  rs-tensor-encoder check --hyspecnet HYSPECNET encoded-hyspecnet
  rs-tensor-encoder check --hyspecnet HYSPECNET encoded-hyspecnet --sample 9
""",
)
@source_options
@options.target_argument
@click.option(
    "--decoder",
    type=click.Choice(["tifffile", "pylibtiff", "rasterio"]),
    default="tifffile",
    show_default=True,
    help="What reads the TIFF files; tifffile shares no code with libtiff.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    help="Compare the pixels of N patches only, chosen at random; keys are all compared.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Chooses other patches for --sample."
)
@options.workers_option
@options.json_option
@options.quiet_option
@options.verbose_option
def command(
    target: str,
    decoder: str,
    sample: int | None,
    seed: int,
    workers: int | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **sources: Any,
) -> int:
    """Prove that TARGET holds exactly what the sources hold.

    Takes the same sources and the same target as encode. Every patch is read
    again by an independent decoder and compared bit for bit; the exit code is
    1 if anything differs.
    """
    from rs_tensor_encoder.checker import check
    from rs_tensor_encoder.cli.progress import Progress
    from rs_tensor_encoder.sources import discover

    plan = discover(take_sources(sources))
    for note in plan.notes:
        click.echo(f"Note: {note}", err=True)
    total = min(sample or len(plan.patches), len(plan.patches))
    with interruptible() as stop, Progress("check", total, quiet=quiet) as progress:
        report = check(
            plan,
            clean_target(target),
            decoder=decoder,
            workers=workers,
            sample=sample,
            seed=seed,
            progress=progress.update,
            stop=stop,
        )
    code = 130 if report.interrupted else 1 if report.differences else 0
    if as_json:
        click.echo(json.dumps({**report.as_dict(), "exit_code": code}))
        return code
    _say(report, verbose=verbose)
    return code


def _say(report: "CheckReport", *, verbose: bool) -> None:
    shown = report.differences if verbose else report.differences[:_LISTED]
    for difference in shown:
        click.echo(f"Differs: {difference}", err=True)
    rest = len(report.differences) - len(shown)
    if rest:
        click.echo(f"... and {rest} more; -v lists them all", err=True)
    compared = (
        f"{report.checked:,} of {counted(report.patches, 'patch')} compared with {report.decoder} "
        f"({counted(report.tensors, 'tensor')}, {megabytes(report.bytes)})"
    )
    if report.left_out:
        compared += f", {report.left_out:,} left out that cannot be read"
    if report.interrupted:
        click.echo(f"{report.target}: interrupted; {compared}")
    elif report.differences:
        click.echo(f"{report.target}: {counted(len(report.differences), 'difference')}; {compared}")
    else:
        structure = "structure verified" if report.verified else "structure not verified"
        click.echo(f"{report.target}: no differences; {compared}; {structure}")
