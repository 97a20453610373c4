"""The command ``rs-tensor-encoder``: one file per verb, loaded when it is called."""

import contextlib
import errno
import importlib
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import click
from click_default_group import DefaultGroup

from rs_tensor_encoder import __version__
from rs_tensor_encoder.cli.output import OutputError, fail, has_directory, say
from rs_tensor_encoder.cli.signals import is_new, requests
from rs_tensor_encoder.errors import EncoderError

VERBS = ("encode", "check", "info", "layouts", "demo")


class _Verbs(DefaultGroup):  # type: ignore[misc]
    """Verbs, of which `encode` is the default; a verb's module is imported on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        # Anything that is not a verb is the first word of the default one.
        verb = cmd_name if cmd_name in VERBS else VERBS[0]
        module = importlib.import_module(f"rs_tensor_encoder.cli.commands.{verb}")
        self.commands[verb] = module.command
        found: click.Command | None = super().get_command(ctx, cmd_name)
        return found


def _print_version(ctx: click.Context, _: click.Parameter, value: Any) -> None:
    if not value or ctx.resilient_parsing:
        return
    from rs_tensor_encoder import _tiff

    found = _tiff.versions()
    say(f"rs-tensor-encoder {__version__}")
    others = ", ".join(f"{name} {number}" for name, number in found["bundled"].items())
    origin = f"bundled, with {others}" if others else "of the system"
    say(f"libtiff {found['libtiff']}, libdeflate {found['libdeflate']} ({origin})")
    say("codecs: " + ", ".join(found["codecs"]))
    say(f"Python {sys.version.split()[0]} with " + ", ".join(_packages()))
    ctx.exit()


def _packages() -> Iterator[str]:
    """Versions of the packages that we need or can use, none of which is imported."""
    from importlib.metadata import PackageNotFoundError, requires, version

    wanted = requires("rs-tensor-encoder") or ()
    for name in sorted(re.split(r"[^\w-]", text)[0] for text in wanted):
        with contextlib.suppress(PackageNotFoundError):
            yield f"{name} {version(name)}"


@click.group(
    cls=_Verbs,
    default="encode",
    default_if_no_args=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""
\b
Examples:
  rs-tensor-encoder --bigearthnet-s1-root S1 --bigearthnet-s2-root S2 \\
      Encoded-BigEarthNet
  rs-tensor-encoder check --hyspecnet HYSPECNET encoded-hyspecnet
  rs-tensor-encoder encode --help
""",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the versions of the tool, its libraries and its codecs.",
)
def cli() -> None:
    """Convert remote-sensing datasets of TIFF patches into one LMDB of safetensors.

    The verb is encode when none is named.
    """


def _hear_requests() -> None:
    """Have requests to end raise KeyboardInterrupt; by default, most end us without a word."""
    with contextlib.suppress(ValueError):  # only the main thread may
        for number in requests():
            # Python hears Ctrl-C unless it was ignored when the process began.
            if number != signal.SIGINT or signal.getsignal(number) is signal.default_int_handler:
                signal.signal(number, _interrupt)


def _interrupt(number: int, frame: Any) -> None:  # noqa: ARG001
    if is_new():
        raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words behind the command's name; by default those of the process.

    Returns
    -------
    int
        The exit code: 0 done, 1 patches failed or differ, 2 usage, 3 source,
        4 target, 5 out of space, 130 interrupted. It is 1, too, where what was asked
        for, such as a list, cannot be printed.
    """
    # No linear algebra is done here, but NumPy's library for it would start threads that
    # spin for a while (measured: 14 % of the processor time of a short encode).
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _hear_requests()
    words = list(sys.argv[1:] if arguments is None else arguments)
    # An object also where the words themselves are wrong, so that no parser could tell.
    as_json = "--json" in words
    try:
        code = cli.main(args=words, prog_name="rs-tensor-encoder", standalone_mode=False)
    except click.ClickException as error:
        code = fail(error, error.exit_code, as_json=as_json)
    except OutputError as error:
        code = 1 if error.unread else fail(str(error), 1, as_json=False)
    except EncoderError as error:
        code = fail(str(error), error.exit_code, as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        code = fail("interrupted", 130, as_json=as_json)
    except BrokenPipeError:
        # Whoever read our output has gone: nothing is left to say.
        code = 1
    except OSError as error:
        # What has no name is the working directory, where it is lacking.
        text = str(error) if error.filename or has_directory() else "no path can be resolved"
        # What the target is to blame for is an error of ours, not one of the system.
        code = 5 if error.errno in (errno.ENOSPC, errno.EDQUOT) else 3
        code = fail(text, code, as_json=as_json)
    except MemoryError:
        code = fail("out of memory; try fewer --workers", 3, as_json=as_json)
    except RuntimeError as error:
        # All that Python says when the system gives it no more memory or threads.
        if "can't start new thread" not in str(error):
            raise
        text = "the system allows no more threads (ulimit -u, -v); try fewer --workers"
        code = fail(text, 3, as_json=as_json)
    return code if isinstance(code, int) else 0


def run() -> NoReturn:
    """Be the process: what is asked for while Python ends, when all is said, is done at once."""
    _open_standard_streams()
    code = main()
    for number in requests():
        signal.signal(number, signal.SIG_DFL)
    sys.exit(code)


def _open_standard_streams() -> None:
    """Open /dev/null in the place of standard streams that are closed.

    Files of ours would have their descriptors otherwise, and a library that prints would write
    into a database.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
