"""The direction of imports, read from the sources."""

import ast
import re
from pathlib import Path

import rs_tensor_encoder

PACKAGE = Path(rs_tensor_encoder.__file__).parent

# What a module may import of the package; a verb may import anything below it.
BELOW = {
    "__init__": set(),
    "names": set(),
    "filetype": set(),
    "errors": {"filetype", "names"},
    "left_aside": set(),
    "machine": set(),
    "space": set(),
    "syncing": set(),
    "locking": {"errors", "machine"},
    "closing": set(),
    "alive": set(),
    "plain": set(),
    "digests": {"errors", "syncing"},
    "journal": {"closing", "digests", "errors", "syncing"},
    "helpers": {"alive", "closing"},
    "document": {"errors"},
    "templates": set(),
    "entries": {"document", "templates"},
    "expressions": {"errors"},
    "description": {"entries", "expressions", "templates"},
    "layout": {"description", "document", "entries", "errors", "expressions", "templates"},
    "sources": {"helpers", "layout", "left_aside", "names"},
    "values": set(),
    "manifest": {
        "__init__",
        "digests",
        "errors",
        "machine",
        "names",
        "sources",
        "syncing",
        "values",
    },
    "worker": {"errors"},
    "pool": {"closing", "machine", "worker"},
    "structure": {"errors"},
    "opening": {"errors", "pool", "structure", "worker"},
    "hosts": {"alive", "closing", "errors", "journal", "machine", "manifest", "opening", "plain"},
    "looks": {"names", "plain"},
    "survey": {"names", "plain"},
    "patterns": set(),
    "schemes": {"looks"},
    "groups": {"templates"},
    "directories": {"entries", "groups", "schemes", "templates"},
    "singles": {"entries", "groups", "schemes"},
    "companions": {"entries", "groups", "schemes"},
    "narrowing": {"entries", "errors", "expressions", "patterns", "templates"},
    "drafts": {"entries", "groups", "looks", "narrowing", "plain", "schemes", "templates"},
    "validation": {"entries", "errors", "layout", "plain", "schemes", "survey"},
    "proposals": {
        "companions",
        "drafts",
        "entries",
        "errors",
        "groups",
        "layout",
        "names",
        "narrowing",
        "plain",
        "schemes",
        "survey",
        "validation",
    },
    "recognise": {"errors", "layout", "looks", "names", "plain", "survey"},
    "guess": {
        "directories",
        "entries",
        "errors",
        "groups",
        "plain",
        "proposals",
        "recognise",
        "singles",
        "survey",
    },
    "discovery": {
        "errors",
        "helpers",
        "layout",
        "left_aside",
        "names",
        "plain",
        "recognise",
        "sources",
        "survey",
    },
    "trial": {
        "discovery",
        "entries",
        "layout",
        "left_aside",
        "looks",
        "names",
        "plain",
        "sources",
        "survey",
    },
    "diagnose": {"errors", "filetype", "layout", "names"},
    "pages": set(),
    "unfinished": {"closing", "errors", "opening", "pages", "values"},
    "database": {"closing", "errors", "locking", "opening", "space"},
    "sample": set(),
    "preview": {"errors"},
    "nodata": set(),
    "tiff_tags": set(),
    "chunk_reading": {"nodata", "tiff_tags"},
    "decoders": {"chunk_reading", "errors", "nodata", "tiff_tags"},
    "preflight": {"errors", "opening", "plain", "space"},
    "target": {
        "digests",
        "errors",
        "hosts",
        "journal",
        "locking",
        "manifest",
        "opening",
        "plain",
        "preflight",
        "syncing",
    },
    "batches": {"_tiff", "database", "diagnose", "errors", "layout", "recognise", "sources"},
    "crew": {"batches", "machine"},
    "kept": {
        "batches",
        "database",
        "digests",
        "errors",
        "helpers",
        "journal",
        "plain",
        "sources",
        "values",
    },
    "flushing": {"_tiff", "alive", "closing"},
    "threads": {"_tiff", "alive", "closing"},
    "report": {"errors", "left_aside", "manifest"},
    "encoder": {
        "_tiff",
        "batches",
        "crew",
        "database",
        "diagnose",
        "errors",
        "flushing",
        "hosts",
        "journal",
        "kept",
        "manifest",
        "opening",
        "preflight",
        "report",
        "sources",
        "target",
        "threads",
        "values",
    },
    "comparison": {"plain", "values"},
    "doubts": {"nodata", "tiff_tags"},
    "decoder_order": {"decoders", "doubts", "tiff_tags"},
    "patch_check": {"comparison", "decoder_order", "decoders", "layout", "looks", "plain"},
    "comparing": {"decoder_order", "opening", "patch_check", "pool"},
    "checker": {
        "comparing",
        "comparison",
        "decoders",
        "digests",
        "errors",
        "machine",
        "manifest",
        "opening",
        "patch_check",
        "sources",
        "unfinished",
        "worker",
    },
    "proof": {"checker", "comparison", "digests", "errors", "manifest", "opening", "plain"},
    "__main__": {"cli"},
}


def imported(path):
    """Names of the package's modules that a file imports, at any depth of its code."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "rs_tensor_encoder":
            known = {p.stem for p in PACKAGE.iterdir()} | {"_tiff"}
            names |= {a.name if a.name in known else "__init__" for a in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "rs_tensor_encoder."
        ):
            names.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {
                alias.name.split(".")[1]
                for alias in node.names
                if alias.name.startswith("rs_tensor_encoder.")
            }
    return names


def test_imports_point_one_way():
    modules = {path.stem: path for path in PACKAGE.glob("*.py")}
    assert modules.keys() == BELOW.keys()
    for name, path in modules.items():
        assert imported(path) <= BELOW[name], name


def test_the_checker_shares_no_decoder_with_the_encoder():
    for name in (
        "checker",
        "chunk_reading",
        "comparing",
        "comparison",
        "decoder_order",
        "decoders",
        "digests",
        "discovery",
        "doubts",
        "nodata",
        "opening",
        "patch_check",
        "proof",
        "sources",
        "tiff_tags",
    ):
        assert "_tiff" not in imported(PACKAGE / f"{name}.py")


def test_only_verbs_import_verbs():
    modules = sorted((PACKAGE / "cli").glob("*.py"))
    assert len(modules) > 5
    for path in modules:
        verbs = {"encode", "check", "info", "layouts", "demo"} - {path.stem}
        named = re.findall(r"rs_tensor_encoder\.cli(?:\.| import )(\w+)", path.read_text())
        # demo runs the command itself, as a user would.
        assert not verbs & set(named), path


def test_modules_stay_small():
    paths = list(PACKAGE.rglob("*.py"))
    assert len(paths) > 40
    for path in paths:
        assert len(path.read_text().splitlines()) <= 330, path
    for path in (Path(__file__).parents[1] / "ext").iterdir():
        assert len(path.read_text().splitlines()) <= 420, path
