"""What is printed: results to stdout, all else to stderr, and nothing that commands a terminal."""

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import click

from rs_tensor_encoder.errors import EncoderError
from rs_tensor_encoder.sources.left_aside import LeftAside
from rs_tensor_encoder.util.text import plain


class OutputError(EncoderError):
    """What was asked for cannot be printed."""

    def __init__(self, error: OSError) -> None:
        #: Whether nobody reads the output any more, as behind ``| head``.
        self.unread = isinstance(error, BrokenPipeError)
        super().__init__(f"standard output: {error.strerror or error}")


def say(text: str = "", *, err: bool = False) -> None:
    """Print a line: what comes from files and their names is escaped where it is not printable.

    Characters that the stream's encoding does not have are escaped, too. A line that cannot be
    written to stderr is lost: the work does not depend on it.

    Raises
    ------
    OutputError
        If the line cannot be written to stdout.
    """
    stream = sys.stderr if err else sys.stdout
    if stream is None:
        return
    encoding = stream.encoding or "utf-8"
    line = plain(text).encode(encoding, "backslashreplace").decode(encoding)
    try:
        click.echo(line, err=err)
    except OSError as error:
        _silence(stream)
        if not err:
            raise OutputError(error) from None


def note(text: str) -> None:
    """Print what the user should know besides to stderr."""
    say(f"Note: {text}", err=True)


def say_left_aside(found: LeftAside, *, quiet: bool = False) -> None:
    """Print to stderr what a search has left aside; if quiet, only what may have been meant."""
    phrases = list(found.phrases(all_reasons=not quiet))
    if phrases:
        say(f"Left aside: {'; '.join(phrases)}", err=True)


def say_json(value: Any) -> None:
    """Print an object as one line of JSON, in ASCII."""
    say(json.dumps(value))


def write(text: str) -> None:
    """Write a text to stdout as it is, in UTF-8 whatever the locale: for files such as layouts."""
    if sys.stdout is None:
        return
    try:
        click.echo(text.encode(), nl=False)
    except OSError as error:
        _silence(sys.stdout)
        raise OutputError(error) from None


@contextlib.contextmanager
def reporting() -> Iterator[None]:
    """Print the report of work that is done: its exit code holds if the report cannot be printed.

    Whoever read our output may have gone (``| head``), or the disk of a redirected report is
    full. That is said, but a complete target is no failure.
    """
    try:
        yield
    except OutputError as error:
        note(f"the report could not be printed ({error})")


def fail(error: str | click.ClickException, code: int, *, as_json: bool) -> int:
    """Print what is wrong to stderr, and as JSON to stdout if that was asked for.

    Returns
    -------
    int
        The exit code, as it was given.
    """
    if isinstance(error, str):
        text = error
        if not has_directory():
            text += (
                " (the working directory was deleted: change to another one, or give absolute "
                "paths)"
            )
        say(f"Error: {text}", err=True)
    else:
        lines = io.StringIO()
        error.show(lines)
        text = error.format_message()
        # How the verb is used comes first; the message itself may hold what users typed.
        for line in lines.getvalue().partition("Error: ")[0].splitlines():
            say(line, err=True)
        say(f"Error: {text}", err=True)
    if as_json:
        with contextlib.suppress(OutputError):
            say_json({"error": text, "exit_code": code})
    return code


def has_directory() -> bool:
    """Tell whether the working directory still exists."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _silence(stream: Any) -> None:
    """Keep the interpreter from trying once more, at its end, to write what cannot be written."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
