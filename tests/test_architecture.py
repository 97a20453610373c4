"""What import-linter does not see: the compiled module, and the size of modules.

The floors of the packages are contracts of import-linter in ``pyproject.toml`` (``make lint``).
"""

import ast
from pathlib import Path

import rs_tensor_encoder

PACKAGE = Path(rs_tensor_encoder.__file__).parent
ROOT = Path(__file__).parents[1]
COMPILED = "rs_tensor_encoder._tiff"


def module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


def imported(name):
    """Modules of the package that a module imports, at any depth of its code."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & {*MODULES, COMPILED}


def reached(name):
    """Modules that a module imports, by itself or by others."""
    found, ahead = set(), {name}
    while ahead:
        new = imported(ahead.pop()) - found
        found |= new
        ahead |= new & MODULES.keys()
    return found


def test_the_check_never_reaches_the_decoders_of_the_encoder():
    """Nor does what it takes sources and layouts from: its proof would prove nothing."""
    names = [name for name in MODULES if name.startswith("rs_tensor_encoder.checking.")]
    assert len(names) > 8
    for name in names:
        assert COMPILED not in reached(name), name
    # Else this would prove nothing.
    assert COMPILED in reached("rs_tensor_encoder.encoding.encode")


def test_only_few_modules_know_the_compiled_one():
    users = {name for name in MODULES if COMPILED in imported(name)}
    assert users == {
        "rs_tensor_encoder.cli",
        "rs_tensor_encoder.encoding.batching",
        "rs_tensor_encoder.encoding.encode",
        "rs_tensor_encoder.encoding.workers",
        "rs_tensor_encoder.storage.writeback",
    }


def test_modules_stay_small():
    lines = {path: len(path.read_text().splitlines()) for path in MODULES.values()}
    lines |= {path: len(path.read_text().splitlines()) for path in (ROOT / "ext").iterdir()}
    assert len(lines) > 100
    assert {path.name for path, count in lines.items() if count > 300} == set()
    assert sorted(lines.values())[len(lines) // 2] <= 120
