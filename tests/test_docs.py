"""The README is true: its commands and its code run, its tables are those of the layouts."""

import os
import re
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest

from rs_tensor_encoder.cli.commands.layouts import tensors
from rs_tensor_encoder.cli.source_options import families, take_sources
from rs_tensor_encoder.layouts.parser import builtin
from rs_tensor_encoder.layouts.templates import shorten
from test_guess import write

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(*kinds):
    """Fenced blocks of some kinds, in order, as (kind, text)."""
    found = re.findall(r"^```(\w+)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    return [(kind, text) for kind, text in found if kind in kinds]


def test_every_block_runs_in_order(made_up, tmp_path):
    for name, root in {
        "S1": made_up.sentinel_1,
        "S2": made_up.sentinel_2,
        "HYSPECNET": made_up.hyspecnet,
    }.items():
        (tmp_path / name).symlink_to(root)
    for kind in ("forest", "urban"):
        for number in range(3):
            path = tmp_path / "DATASET" / kind / f"{kind}_{number:03d}.v1.tif"
            write(path, 4)
            write(path.with_suffix(".mask.tif"), dtype="uint8")
    ((_, layout),) = blocks("toml")
    (tmp_path / "my.toml").write_text(layout)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = 0
    for kind, text in blocks("bash", "python"):
        if name := re.match(r"# (\w+\.py)\n", text):
            (tmp_path / name[1]).write_text(text)
        words = ["bash", "-euc", text] if kind == "bash" else [sys.executable, "-c", text]
        done = subprocess.run(
            words,
            cwd=tmp_path,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (text, done.stderr)
        for said in re.findall(r"print\(.*\)  # (.*)", text):
            assert done.stdout.strip() == said
        ran += 1
    assert ran >= 9
    with lmdb.open(str(tmp_path / "encoded-dataset"), readonly=True, lock=False) as env:
        assert env.stat()["entries"] == 6


def test_keys_of_layouts_are_all_described():
    from rs_tensor_encoder.layouts import files_section, parser

    text = README.partition("| in a layout |")[2].partition("\n\n")[0]
    for key in (*parser._REQUIRED, *parser._OPTIONAL, *files_section._EXPECTED):
        assert f"`{key}`" in text
        assert key in parser.__doc__


def test_installing_is_described_as_the_makefile_does_it():
    text = "".join(text for _, text in blocks("sh"))
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^make ([\w-]+)", text, re.MULTILINE)
    assert targets
    for target in [*targets, *re.findall(r"`make ([\w-]+)`", README)]:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    for package in re.findall(r"lib\w+-dev|python3-\w+", text):
        assert package in makefile


def test_the_bundled_codecs_are_those_of_the_compatibility_table():
    row = re.search(r"^\| TIFF codecs \| (.*?) \|", README, re.MULTILINE)[1]
    script = (ROOT / "packaging/acceptance.sh").read_text()
    tried = re.search(r"^for codec in (.*); do", script, re.MULTILINE)[1].split()
    names = {"AdobeDeflate": "deflate", "ZSTD": "zstd"}
    assert {names.get(codec, codec) for codec in tried} == set(row.split(", ")) - {"none"}


def row(layout):
    """The row of a layout in the README's table."""
    kind = "file" if layout.of_files else "directory"
    held = [
        f"`{shorten(bands).replace(' ', '` `').replace('` `...` `', '` to `')}`: {what}"
        + (f" (`--with {request}`)" if request else "")
        for bands, what, request in tensors(layout)
    ]
    title = f"[{layout.title}]({layout.link})"
    return f"| `{layout.option}` | {title} | {kind} | `{layout.key}` | {'<br>'.join(held)} |"


def test_every_layout_has_its_row():
    table = README.partition("### All datasets")[2].partition("###")[0]
    rows = re.findall(r"^\| `--.*", table, re.MULTILINE)
    wanted = [row(layout) for _, layouts in families() for layout in layouts]
    assert rows == wanted, "the table should be:\n" + "\n".join(wanted)


def test_exit_codes_are_those_of_the_errors():
    from rs_tensor_encoder import errors

    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    raised = {
        error.exit_code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.EncoderError)
    }
    assert raised | {0, 130} == listed


def test_contributing_names_every_make_target():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):.*##", makefile, re.MULTILINE))
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`make ([\w-]+)", text))
    assert named == targets - {"help"}


def test_every_promise_of_security_has_its_tests():
    named = set(re.findall(r"`(test_\w+\.py)`", (ROOT / "SECURITY.md").read_text()))
    assert len(named) > 5
    assert all((ROOT / "tests" / name).exists() for name in named)


def test_sources_must_be_named():
    import click

    with pytest.raises(click.UsageError, match="--hyspecnet"):
        take_sources(
            {layout.name.replace("-", "_"): () for layout in builtin()} | {"own": (), "with_": ()}
        )
