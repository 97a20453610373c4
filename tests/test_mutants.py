"""The campaign of planted bugs, and its list: `make mutants` tries them all."""

import ast
import subprocess
import sys

import pytest

from mutants import ROOT, Ended, Mutant, judge, read

LISTED = read()
NAMES = [mutant.name for mutant in LISTED]


def test_names_tell_planted_bugs_apart():
    assert len(NAMES) == len(set(NAMES)) > 100
    assert {mutant.sanitizer for mutant in LISTED} == {"", "address"}
    # Of the package and of the extension, most modules have some.
    assert len({mutant.file for mutant in LISTED}) > 30


@pytest.mark.parametrize("mutant", LISTED, ids=NAMES)
def test_each_bug_can_still_be_planted(mutant):
    """A change of the source takes its bugs along: the old text is there once."""
    source = (ROOT / mutant.file).read_text()
    planted = mutant.plant(source)
    assert planted != source
    assert mutant.harm.endswith(".")
    if mutant.file.endswith(".py"):
        # A bug that Python does not even read would be no test of the tests.
        ast.parse(planted)


def defined(file):
    """Names of the tests in a file."""
    tree = ast.parse((ROOT / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_the_tests_that_are_named_exist():
    named = {test for mutant in LISTED for test in mutant.tests}
    assert all(mutant.tests for mutant in LISTED)
    known = {file: defined(file) for file in {test.partition("::")[0] for test in named}}
    missing = [
        test
        for test in sorted(named)
        for file, _, name in [test.partition("::")]
        if name and name.partition("[")[0] not in known[file]
    ]
    assert missing == []


@pytest.mark.parametrize("text", ["", "one two two", "two two"])
def test_a_text_that_is_not_there_once_is_an_error(text):
    mutant = Mutant("x", "Harm.", "file", "two", "three", ["tests"])
    with pytest.raises(ValueError, match=r"x: the old text occurs [02] times in file"):
        mutant.plant(text)
    assert mutant.plant("one two") == "one three"


@pytest.mark.parametrize(
    ("code", "output", "word"),
    [
        (0, "3 passed in 1s", "SURVIVED"),
        (0, "3 skipped in 1s", "NOT TRIED"),
        (1, "FAILED tests/test_x.py::test_y - assert 1 == 2", "killed"),
        (1, "==7==ERROR: AddressSanitizer: heap-buffer-overflow", "killed"),
        (1, "ext/lzw.pxd:88:9: runtime error: index 4096 out of bounds", "killed"),
        (-11, "", "killed"),
        (134, "", "killed"),
        (1, "error: cannot compile", "BROKEN"),
        (2, "ERROR tests/test_x.py", "BROKEN"),
        (4, "ERROR: not found: tests/test_x.py::test_y", "BROKEN"),
        (5, "no tests ran", "BROKEN"),
        (None, "", "timed out"),
    ],
)
def test_what_became_of_a_bug(code, output, word):
    assert judge(Ended(code, output))[0] == word


SMALL = """
[[mutant]]
name = "is-noticed"
harm = "What people read is not what it says."
file = "src/rs_tensor_encoder/util/text.py"
old = 'return f"{number:,} {noun}"'
new = 'return f"{number} {noun}"'
tests = ["tests/test_plain.py"]

[[mutant]]
name = "is-not-noticed"
harm = "Nobody looks."
file = "src/rs_tensor_encoder/util/closeable.py"
old = "        self.close()"
new = "        pass"
tests = ["tests/test_plain.py"]
"""


def test_a_small_campaign(tmp_path):
    """One bug that its test notices, and one that it does not: the exit code says so."""
    (tmp_path / "list.toml").write_text(SMALL)
    words = [sys.executable, ROOT / "tests" / "mutants.py", "--list", tmp_path / "list.toml"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done
    first, second, harm, last = done.stdout.splitlines()
    assert first.startswith("killed ")
    assert "is-noticed  FAILED tests/test_plain.py::" in first
    assert second.startswith("SURVIVED ")
    assert harm.strip() == "Nobody looks."
    assert last == "1 SURVIVED, 1 killed"


def test_words_choose_bugs_by_their_names():
    words = [sys.executable, ROOT / "tests" / "mutants.py", "no such bug"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "no planted bug has such a name\n")
