"""The verb ``demo``."""

import os
import shlex

import click

from rs_tensor_encoder.cli.options import clean_target
from rs_tensor_encoder.cli.output import note, say

# What a reader needs, printed at the end.
_SNIPPET = """\
import functools, os
import lmdb, safetensors.numpy

@functools.cache
def database(path):
    return lmdb.open(path, readonly=True, lock=False)

if hasattr(os, "register_at_fork"):  # a forked process opens the database again
    os.register_at_fork(after_in_child=lambda: database.cache_clear())

def read(path, key):
    with database(path).begin() as txn:
        return safetensors.numpy.load(txn.get(key.encode()))

patch = read({target!r}, {key!r})
print({{band: (patch[band].dtype, patch[band].shape) for band in sorted(patch)}})
"""


@click.command(
    "demo",
    short_help="Make a small sample, encode it, check it, show it.",
    epilog="""
\b
Example:
  rs-tensor-encoder demo /tmp/demo
""",
)
@click.argument("directory", type=click.Path(readable=False), default="rs-tensor-encoder-demo")
def command(directory: str) -> int:
    """Make a small sample dataset, encode it, check it and show how to read it.

    All goes to DIRECTORY, which must not exist or be empty: BigEarthNet and HySpecNet in
    their true structure, two databases, and a picture of one patch.
    """
    from rs_tensor_encoder.demo.picture import PreviewError
    from rs_tensor_encoder.demo.sample import write_sample
    from rs_tensor_encoder.errors import writing_failed
    from rs_tensor_encoder.storage.preflight import require_free

    directory = clean_target(directory)
    if directory.startswith("-"):
        # It must not look like an option in the commands that follow.
        directory = os.path.join(".", directory)
    require_free(directory)
    say(f"Writing a sample dataset to {directory} ...")
    try:
        sample = write_sample(directory)
    except OSError as error:
        raise writing_failed(directory, error) from None
    bigearthnet = os.path.join(directory, "Encoded-BigEarthNet")
    hyspecnet = os.path.join(directory, "encoded-hyspecnet")
    roots = ["--bigearthnet-s1-root", sample.sentinel_1, "--bigearthnet-s2-root", sample.sentinel_2]
    for arguments in (
        [*roots, bigearthnet],
        ["--hyspecnet", sample.hyspecnet, hyspecnet],
        ["check", *roots, bigearthnet],
        ["check", "--hyspecnet", sample.hyspecnet, hyspecnet],
        ["info", bigearthnet],
    ):
        code = _run(arguments)
        if code:
            return code
    try:
        picture = _picture(directory, bigearthnet, sample.pair)
        say()
        say(f"One patch in natural colours beside its radar bands: {picture}")
    except PreviewError as error:
        note(f"no picture: {error}")
    say()
    say("To read a patch in Python:")
    say()
    for line in _SNIPPET.format(target=bigearthnet, key=sample.pair[1]).splitlines():
        say(line)
    return 0


def _run(arguments: list[str]) -> int:
    """Show a command and run it."""
    from rs_tensor_encoder.cli import main

    say()
    say(f"$ rs-tensor-encoder {shlex.join(arguments)}")
    return main(arguments)


def _picture(directory: str, target: str, pair: tuple[str, str]) -> str:
    import safetensors.numpy

    from rs_tensor_encoder.demo.picture import save_preview
    from rs_tensor_encoder.storage.environment import open_reading

    with open_reading(target) as env, env.begin() as txn:
        patches = [safetensors.numpy.load(bytes(txn.get(key.encode()) or b"")) for key in pair]
    path = os.path.join(directory, "patch.png")
    save_preview(path, sentinel_1=patches[0], sentinel_2=patches[1])
    return path
