"""The verb ``encode``."""

import json
import time
from typing import TYPE_CHECKING, Any

import click

from rs_tensor_encoder.cli import options
from rs_tensor_encoder.cli.datasets import DatasetCommand, source_options, take_sources
from rs_tensor_encoder.cli.interrupts import interruptible
from rs_tensor_encoder.cli.options import clean_target
from rs_tensor_encoder.plain import counted, sized

if TYPE_CHECKING:
    from rs_tensor_encoder.batches import Estimate
    from rs_tensor_encoder.encoder import Report
    from rs_tensor_encoder.sources import Plan

# Failures listed before the rest is only counted.
_LISTED = 10


@click.command(
    "encode",
    cls=DatasetCommand,
    short_help="Encode datasets into one LMDB database.",
    epilog="""
\b
Examples:
  rs-tensor-encoder --bigearthnet-s1-root S1 --bigearthnet-s2-root S2 \\
      Encoded-BigEarthNet
  rs-tensor-encoder --hyspecnet HYSPECNET encoded-hyspecnet
  rs-tensor-encoder encode --hyspecnet HYSPECNET encoded-hyspecnet --dry-run
  rs-tensor-encoder --major-tom-s2-l2a S2L2A --with cloud-mask encoded
  rs-tensor-encoder --layout my.toml DATASET encoded-dataset
""",
)
@source_options
@options.target_argument
@options.workers_option
@click.option("--dry-run", is_flag=True, help="Only say what there is to do, and what is wrong.")
@click.option(
    "--restart", is_flag=True, help="Begin anew instead of going on where a run has stopped."
)
@click.option(
    "--skip-failed",
    is_flag=True,
    help="Finish without the patches that cannot be encoded (the manifest names them).",
)
@options.limit_option
@options.json_option
@options.quiet_option
@options.verbose_option
def command(
    target: str,
    workers: int | None,
    dry_run: bool,
    restart: bool,
    skip_failed: bool,
    limit: int,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **sources: Any,
) -> int:
    """Encode datasets into TARGET, a directory that holds one LMDB database.

    All sources are searched before anything is written. TARGET appears when it
    is complete; until then the work is in TARGET.partial, and the same command
    goes on where it stopped.
    """
    from rs_tensor_encoder.batches import estimate
    from rs_tensor_encoder.cli.progress import Progress
    from rs_tensor_encoder.discovery import discover
    from rs_tensor_encoder.encoder import encode
    from rs_tensor_encoder.target import check_target

    target = clean_target(target)
    plan = discover(take_sources(sources))
    check_target(plan, target)
    expected = estimate(plan, limit, decode=dry_run)
    if dry_run:
        return _dry_run(plan, expected, target, as_json=as_json)
    if not quiet:
        click.echo(
            f"{counted(len(plan.patches), 'patch')}, about {sized(expected.size)} in {target}",
            err=True,
        )
    begun = time.monotonic()
    with interruptible() as stop, Progress("encode", len(plan.patches), quiet=quiet) as progress:
        report = encode(
            plan,
            target,
            workers=workers,
            restart=restart,
            skip_failed=skip_failed,
            limit=limit,
            expected=expected,
            progress=progress.update,
            kept=progress.keep,
            stop=stop,
        )
    seconds = time.monotonic() - begun
    for note in report.notes:
        click.echo(f"Note: {note}", err=True)
    _list_failures(report, verbose=verbose)
    code = 130 if report.interrupted else 1 if report.failures else 0
    if as_json:
        click.echo(json.dumps(_as_object(report, seconds, code)))
    else:
        _say(report, seconds)
    return code


def _list_failures(report: "Report", *, verbose: bool) -> None:
    shown = report.failures if verbose else report.failures[:_LISTED]
    for _, error in shown:
        click.echo(f"Failed: {error}", err=True)
    rest = len(report.failures) - len(shown)
    if rest:
        click.echo(f"... and {rest} more, all in failures.json", err=True)


def _say(report: "Report", seconds: float) -> None:
    done = f"{counted(report.encoded, 'patch')} encoded"
    if report.kept:
        done += f", {report.kept:,} kept from before"
    if report.complete:
        left_out = f", {len(report.failures):,} left out" if report.failures else ""
        checked = "verified" if report.verified else "complete"
        rate = report.encoded / max(seconds, 1e-9)
        click.echo(
            f"{report.target}: {checked}, {done}{left_out}; {sized(report.bytes)} in "
            f"{seconds:.1f} s ({rate:,.0f} patches/s)"
        )
        return
    partial = f"{report.target}.partial"
    if report.interrupted:
        click.echo(f"Interrupted: {done}, all in {partial}; run the same command to go on.")
    else:
        click.echo(
            f"Not complete: {len(report.failures):,} of {counted(report.patches, 'patch')} failed "
            f"(all in {partial}/failures.json), {done}. Mend them and run the same command again, "
            "or add --skip-failed to finish without them."
        )


def _as_object(report: "Report", seconds: float, code: int) -> dict[str, Any]:
    return {
        "target": report.target,
        "complete": report.complete,
        "verified": report.verified,
        "patches": report.patches,
        "encoded": report.encoded,
        "kept": report.kept,
        "bytes": report.bytes,
        "seconds": round(seconds, 3),
        "interrupted": report.interrupted,
        "failures": [
            {"patch": key, "path": error.path, "reason": error.reason}
            for key, error in report.failures
        ],
        "notes": report.notes,
        "exit_code": code,
    }


def _dry_run(plan: "Plan", expected: "Estimate", target: str, *, as_json: bool) -> int:
    from rs_tensor_encoder.target import free_space

    free = free_space(target)
    per_source = [0] * len(plan.sources)
    for patch in plan.patches:
        per_source[patch.place.source] += 1
    rows: list[dict[str, Any]] = [
        {
            "layout": source.layout.name,
            "root": source.root,
            "patches": count,
            "bytes": int(count * length),
        }
        for source, count, length in zip(plan.sources, per_source, expected.lengths, strict=True)
    ]
    code = 5 if free < expected.size else 1 if expected.failures else 0
    if as_json:
        answer = {
            "target": target,
            "patches": len(plan.patches),
            "sources": rows,
            "size": expected.size,
            "free": free,
            "failures": [
                {"path": error.path, "reason": error.reason} for error in expected.failures
            ],
            "notes": plan.notes,
            "exit_code": code,
        }
        click.echo(json.dumps(answer))
    else:
        for row in rows:
            click.echo(
                f"{row['layout']} {row['root']}: {counted(row['patches'], 'patch')}, "
                f"about {sized(row['bytes'])}"
            )
        click.echo(f"{target}: would take about {sized(expected.size)}; {sized(free)} are free")
    for note in plan.notes:
        click.echo(f"Note: {note}", err=True)
    for error in expected.failures[:_LISTED]:
        click.echo(f"Would fail: {error}", err=True)
    if free < expected.size:
        click.echo("Error: there is not enough room", err=True)
    return code
