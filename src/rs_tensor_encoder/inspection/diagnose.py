"""Why a file of a patch cannot be encoded, and what to do, beyond what the decoder knows."""

import errno
import os

from rs_tensor_encoder.errors import Kind, PatchError
from rs_tensor_encoder.inspection.file_kind import describe_file
from rs_tensor_encoder.layouts.parser import stem
from rs_tensor_encoder.util import file_names


def diagnose(error: PatchError, root: str) -> PatchError:
    """Look at a file that could not be encoded once more.

    Parameters
    ----------
    error : PatchError
        What the decoder said of it.
    root : str
        The root of its source.

    Returns
    -------
    PatchError
        The same with a reason that says more, or the one given. The reason does not
        name the file, so that files with the same fault have the same reason.
    """
    path = file_names.to_path(error.path)
    reason = error.reason
    if error.kind == Kind.NOT_TIFF:
        kind = describe_file(path)
        if kind is not None:
            reason = f"{reason} but {kind}"
    elif error.kind == Kind.OUTSIDE:
        reason += f"; {_advice(path, root)}"
    elif error.errno == errno.ENOENT and os.path.islink(path):
        reason += ": it is a symbolic link that leads nowhere"
    elif error.errno == errno.ENOENT and (other := _other_case(path)):
        reason += f", but one whose extension is {other}: rename it"
    else:
        return error
    return PatchError(error.path, reason, error.errno, error.kind)


def _advice(path: str, root: str) -> str:
    """Say which directory holds a source and the files that its links lead to."""
    both = os.path.commonpath([os.path.realpath(root), os.path.realpath(path)])
    if both == "/":
        return "copy the files into the source"
    return (
        f"name {file_names.from_path(both)}, which holds the links and the files, as the source, "
        "or copy the files into it"
    )


def _other_case(path: str) -> str | None:
    """Find the extension of a file whose name differs in the case of its extension only."""
    directory, name = os.path.split(path)
    base = stem(name)
    try:
        found = os.listdir(directory or ".") if base is not None else []
    except OSError:
        return None
    for other in sorted(found):
        head, extension = os.path.splitext(other)
        if head == base and extension.lower() in (".tif", ".tiff"):
            return extension
    return None
