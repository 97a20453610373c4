"""The verb ``check``."""

from typing import TYPE_CHECKING, Any

import click

from rs_tensor_encoder.cli import options
from rs_tensor_encoder.cli.options import clean_target
from rs_tensor_encoder.cli.output import reporting, say, say_json, say_left_aside
from rs_tensor_encoder.cli.signals import interruptible
from rs_tensor_encoder.cli.source_options import DatasetCommand, source_options, take_sources
from rs_tensor_encoder.util.text import counted, sized

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rs_tensor_encoder.checking.against_sources import CheckReport
    from rs_tensor_encoder.sources.plan import Source

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
    help="What reads the TIFF files; tifffile shares no code with libtiff. A file that it cannot "
    "read, or is known to read differently from GDAL, is read by the next of tifffile, rasterio "
    "and pylibtiff that is installed.",
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
    again by an independent decoder and compared bit for bit; the report says
    how many tensors each decoder has read. Strips and tiles that a file leaves
    out are filled by GDAL's rule. The exit code is 1 if anything differs, and 3
    if nothing differs but there are files that no installed decoder can read.

    With --digests, no sources are needed: every record is compared with the
    length and the digest that were kept of it when it was encoded.

    Ctrl-C, SIGTERM and SIGHUP end the check with what was found by then, and
    the exit code is 130; under nohup, SIGHUP is ignored.
    """
    from rs_tensor_encoder.checking.against_sources import CheckReport
    from rs_tensor_encoder.storage.environment import require_sound

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
    code = exit_code(report)
    with reporting():
        if as_json:
            say_json({**report.as_dict(), "exit_code": code})
        else:
            _say(report, verbose=verbose)
    return code


def exit_code(report: "CheckReport") -> int:
    """What the process ends with: a difference weighs more than a source that cannot be read."""
    if report.interrupted:
        return 130
    if report.differences:
        return 1
    return 3 if report.not_compared else 0


def _by_digests(target: str, against: str | None, *, subset: bool, quiet: bool) -> "CheckReport":
    from rs_tensor_encoder.checking.against_digests import check_digests, known_digests
    from rs_tensor_encoder.cli.progress import Progress

    known = known_digests(target, against)
    with interruptible() as stop, Progress("check", known.count, quiet=quiet) as progress:
        return check_digests(target, known, subset=subset, progress=progress.update, stop=stop)


def _by_sources(
    target: str, sources: "Sequence[Source]", *, sample: int | None, quiet: bool, **options: Any
) -> "CheckReport":
    from rs_tensor_encoder.checking.against_sources import check
    from rs_tensor_encoder.cli.progress import Progress
    from rs_tensor_encoder.sources.discover import discover

    plan = discover(sources)
    say_left_aside(plan.left_aside, quiet=quiet)
    total = min(sample or len(plan.patches), len(plan.patches))
    with interruptible() as stop, Progress("check", total, quiet=quiet) as progress:
        return check(plan, target, sample=sample, progress=progress.update, stop=stop, **options)


def _say(report: "CheckReport", *, verbose: bool) -> None:
    _list("Differs", report.differences, verbose=verbose)
    _list("Not compared", report.not_compared, verbose=verbose)
    # The decoder that was chosen comes first, unless others have read all.
    first = {report.decoder: 0} if report.decoder in report.decoders or not report.decoders else {}
    readers = first | report.decoders
    what = sized(report.bytes)
    if report.tensors:
        what = f"{counted(report.tensors, 'tensor')}, {what}"
    if len(readers) > 1:
        each = ", ".join(f"{name} {tensors:,}" for name, tensors in readers.items())
        what += f"; tensors by decoder: {each}"
    compared = (
        f"{report.checked:,} of {counted(report.patches, 'patch')} compared with "
        f"{' and '.join(readers)} ({what})"
    )
    if report.not_compared:
        compared += f", {counted(len(report.not_compared), 'file')} not compared"
    if report.left_out:
        compared += f", {report.left_out:,} left out that cannot be read"
    if report.interrupted:
        say(f"{report.target}: interrupted; {compared}")
    elif report.differences:
        say(f"{report.target}: {counted(len(report.differences), 'difference')}; {compared}")
    else:
        structure = "structure verified" if report.verified else "structure not verified"
        say(f"{report.target}: no differences; {compared}; {structure}")


def _list(title: str, found: "Sequence[object]", *, verbose: bool) -> None:
    shown = found if verbose else found[:_LISTED]
    for one in shown:
        say(f"{title}: {one}", err=True)
    rest = len(found) - len(shown)
    if rest:
        say(f"... and {rest} more; -v lists them all", err=True)
