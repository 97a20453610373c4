"""The verb ``encode``."""

import re
import time
from typing import TYPE_CHECKING, Any

import click

from rs_tensor_encoder.cli import options
from rs_tensor_encoder.cli.options import clean_target
from rs_tensor_encoder.cli.output import note, reporting, say, say_json, say_left_aside
from rs_tensor_encoder.cli.signals import interruptible
from rs_tensor_encoder.cli.source_options import DatasetCommand, source_options, take_sources
from rs_tensor_encoder.util.text import counted, sized

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rs_tensor_encoder.encoding.batching import Estimate
    from rs_tensor_encoder.encoding.report import Report
    from rs_tensor_encoder.errors import PatchError
    from rs_tensor_encoder.sources.plan import Plan

# Kinds of failures listed before the rest is only counted.
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

    Ctrl-C, SIGTERM and SIGHUP end the run after a commit, and the exit code is
    130; under nohup, SIGHUP is ignored.
    """
    from rs_tensor_encoder.cli.progress import Progress
    from rs_tensor_encoder.encoding.batching import estimate
    from rs_tensor_encoder.encoding.encode import encode
    from rs_tensor_encoder.sources.discover import discover
    from rs_tensor_encoder.storage.preflight import check_target

    target = clean_target(target)
    given = take_sources(sources)
    # Before the search, which may take long.
    check_target([source.root for source in given], target)
    plan = discover(given)
    expected = estimate(plan, limit, decode=dry_run)
    if dry_run:
        return _dry_run(plan, expected, target, restart=restart, as_json=as_json, verbose=verbose)
    if not quiet:
        say(
            f"{counted(len(plan.patches), 'patch')}, about {sized(expected.size)} in {target}",
            err=True,
        )
    begun = time.monotonic()
    with interruptible() as stop, Progress("encode", len(plan.patches), quiet=quiet) as progress:
        result = encode(
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
            tell=progress.say,
        )
    seconds = time.monotonic() - begun
    say_left_aside(result.left_aside, quiet=quiet)
    for text in result.notes:
        note(text)
    _list_failures([error for _, error in result.failures], "Failed", verbose=verbose)
    code = 130 if result.interrupted else 1 if result.failures else 0
    with reporting():
        if as_json:
            say_json(_as_object(result, seconds, code))
        else:
            _say(result, seconds, skip_failed=skip_failed)
    return code


def _list_failures(errors: "Sequence[PatchError]", label: str, *, verbose: bool) -> None:
    """Print failures to stderr; those that differ in numbers only as one, with their count."""
    if verbose:
        for error in errors:
            say(f"{label}: {error}", err=True)
        return
    alike: dict[str, list[PatchError]] = {}
    for error in errors:
        alike.setdefault(re.sub(r"\d+", "0", error.reason), []).append(error)
    for index, group in enumerate(alike.values()):
        if index == _LISTED:
            rest = len(alike) - _LISTED
            say(f"... and {rest} more reasons; -v lists all failures", err=True)
            break
        more = f" (and {len(group) - 1:,} more like it)" if len(group) > 1 else ""
        say(f"{label}: {group[0]}{more}", err=True)


def _say(result: "Report", seconds: float, *, skip_failed: bool) -> None:
    done = f"{counted(result.encoded, 'patch')} encoded"
    if result.kept:
        done += f", {result.kept:,} kept from before"
    if result.complete:
        left_out = f", {len(result.failures):,} left out" if result.failures else ""
        checked = "verified" if result.verified else "complete"
        rate = result.encoded / max(seconds, 1e-9)
        say(
            f"{result.target}: {checked}, {done}{left_out}; {sized(result.bytes)} in "
            f"{seconds:.1f} s ({rate:,.0f} patches/s)"
        )
        return
    partial = f"{result.target}.partial"
    if result.interrupted:
        say(f"Interrupted: {done}, all in {partial}; run the same command to go on.")
        return
    failed = (
        f"{len(result.failures):,} of {counted(result.patches, 'patch')} failed (all in "
        f"{partial}/failures.json), {done}."
    )
    if skip_failed:
        say(f"No target: {failed} Without a single patch there is nothing to finish.")
    else:
        say(
            f"Not complete: {failed} Mend them and run the same command again, or add "
            "--skip-failed to finish without them."
        )


def _as_object(result: "Report", seconds: float, code: int) -> dict[str, Any]:
    return {
        "target": result.target,
        "complete": result.complete,
        "verified": result.verified,
        "patches": result.patches,
        "encoded": result.encoded,
        "kept": result.kept,
        "failed": len(result.failures),
        "bytes": result.bytes,
        "seconds": round(seconds, 3),
        "interrupted": result.interrupted,
        "failures": [
            {"patch": key, "path": error.path, "reason": error.reason}
            for key, error in result.failures
        ],
        "left_aside": result.left_aside.as_json(),
        "notes": result.notes,
        "exit_code": code,
    }


def _dry_run(
    plan: "Plan", expected: "Estimate", target: str, *, restart: bool, as_json: bool, verbose: bool
) -> int:
    from rs_tensor_encoder.storage.manifest import Manifest
    from rs_tensor_encoder.storage.preflight import free_space
    from rs_tensor_encoder.storage.safetensors_header import tensor_names
    from rs_tensor_encoder.storage.target import require_same

    if not restart:
        require_same(
            Manifest.begin([source.entry() for source in plan.sources]), f"{target}.partial"
        )
    free = free_space(target)
    notes = plan.unmet_requests(tensor_names(expected.headers))
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
    full = free is not None and free < expected.size
    code = 5 if full else 1 if expected.failures else 0
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
            "left_aside": plan.left_aside.as_json(),
            "notes": notes,
            "exit_code": code,
        }
        say_json(answer)
    else:
        for row in rows:
            say(
                f"{row['layout']} {row['root']}: {counted(row['patches'], 'patch')}, "
                f"about {sized(row['bytes'])}"
            )
        room = "the file system does not say how much is free"
        if free is not None:
            room = f"{sized(free)} are free"
        say(f"{target}: would take about {sized(expected.size)}; {room}")
    say_left_aside(plan.left_aside)
    for text in notes:
        note(f"of the patches that were looked at, {text}")
    _list_failures(expected.failures, "Would fail", verbose=verbose)
    if full:
        say("Error: there is not enough room", err=True)
    return code
