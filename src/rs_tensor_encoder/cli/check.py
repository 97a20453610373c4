"""The verb ``check``."""

import json
from typing import TYPE_CHECKING, Any

import click

from rs_tensor_encoder.cli import options
from rs_tensor_encoder.cli.datasets import DatasetCommand, source_options, take_sources
from rs_tensor_encoder.cli.interrupts import interruptible
from rs_tensor_encoder.cli.options import clean_target
from rs_tensor_encoder.cli.output import say_left_aside
from rs_tensor_encoder.plain import counted, plain, sized

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rs_tensor_encoder.checker import CheckReport
    from rs_tensor_encoder.sources import Source

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
  rs-tensor-encoder check --digests encoded-hyspecnet
  rs-tensor-encoder check --digests --against kept.digests --subset part-of-it
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
@click.option(
    "--digests",
    "by_digests",
    is_flag=True,
    help="Compare with the digests kept of the records, not with the sources.",
)
@click.option(
    "--against",
    type=click.Path(readable=False),
    metavar="FILE",
    help="With --digests: those in FILE, not those beside the database.",
)
@click.option(
    "--subset",
    is_flag=True,
    help="With --digests: records may be missing, TARGET is a part of what they are of.",
)
@options.untrusted_option
@options.limit_option
@options.workers_option
@options.json_option
@options.quiet_option
@options.verbose_option
def command(
    target: str,
    decoder: str,
    sample: int | None,
    seed: int,
    by_digests: bool,
    against: str | None,
    subset: bool,
    untrusted: bool,
    limit: int,
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

    With --digests, no sources are needed: every record is compared with the
    length and the digest that were kept of it when it was encoded.

    Ctrl-C, SIGTERM and SIGHUP end the check with what was found by then, and
    the exit code is 130; under nohup, SIGHUP is ignored.
    """
    from rs_tensor_encoder.checker import CheckReport
    from rs_tensor_encoder.opening import require_sound

    target = clean_target(target)
    if by_digests:
        if sample is not None or any(sources.values()):
            raise click.UsageError("--digests takes neither sources nor --sample.")
    elif against is not None or subset:
        raise click.UsageError("--against and --subset go with --digests.")
    try:
        if untrusted:
            require_sound(target)
        if by_digests:
            report = _by_digests(target, against, subset=subset, quiet=quiet)
        else:
            report = _by_sources(
                target,
                take_sources(sources),
                decoder=decoder,
                sample=sample,
                seed=seed,
                limit=limit,
                workers=workers,
                quiet=quiet,
            )
    except KeyboardInterrupt:
        if not as_json:
            raise
        # During the search, before anything could be compared; or for the second time.
        report = CheckReport(target, "digests" if by_digests else decoder, interrupted=True)
    code = 130 if report.interrupted else 1 if report.differences else 0
    if as_json:
        click.echo(json.dumps({**report.as_dict(), "exit_code": code}))
        return code
    _say(report, verbose=verbose)
    return code


def _by_digests(target: str, against: str | None, *, subset: bool, quiet: bool) -> "CheckReport":
    from rs_tensor_encoder.cli.progress import Progress
    from rs_tensor_encoder.proof import check_digests, known_digests

    known = known_digests(target, against)
    with interruptible() as stop, Progress("check", known.count, quiet=quiet) as progress:
        return check_digests(target, known, subset=subset, progress=progress.update, stop=stop)


def _by_sources(
    target: str, sources: "Sequence[Source]", *, sample: int | None, quiet: bool, **options: Any
) -> "CheckReport":
    from rs_tensor_encoder.checker import check
    from rs_tensor_encoder.cli.progress import Progress
    from rs_tensor_encoder.discovery import discover

    plan = discover(sources)
    say_left_aside(plan.left_aside, quiet=quiet)
    total = min(sample or len(plan.patches), len(plan.patches))
    with interruptible() as stop, Progress("check", total, quiet=quiet) as progress:
        return check(plan, target, sample=sample, progress=progress.update, stop=stop, **options)


def _say(report: "CheckReport", *, verbose: bool) -> None:
    shown = report.differences if verbose else report.differences[:_LISTED]
    for difference in shown:
        click.echo(f"Differs: {plain(str(difference))}", err=True)
    rest = len(report.differences) - len(shown)
    if rest:
        click.echo(f"... and {rest} more; -v lists them all", err=True)
    what = sized(report.bytes)
    if report.tensors:
        what = f"{counted(report.tensors, 'tensor')}, {what}"
    compared = (
        f"{report.checked:,} of {counted(report.patches, 'patch')} compared with {report.decoder} "
        f"({what})"
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
