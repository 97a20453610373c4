"""The campaign of planted bugs: `make mutants`, or `make mutants ONLY="lzw journal"`.

`mutants.toml` lists the bugs. Each is planted by itself in a copy of the tree, and the tests
that are named with it must fail then. Before that, all of them must pass in the copy as it is.
The extension is compiled again for a bug in ``ext/``; a bug with a ``sanitizer`` is compiled
and run by `sanitize.sh`.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
LIST = Path(__file__).with_suffix(".toml")

# What is not part of the tree that is copied.
_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".*_cache", ".hypothesis", "__pycache__", "*.so"
)
_MADE = {"build", "demo", "dist"}


def _left_out(directory: str, names: list[str]) -> set[str]:
    """What is not copied: caches anywhere, and what the Makefile makes at the top."""
    return _LEFT_OUT(directory, names) | (_MADE if Path(directory) == ROOT else set())


# What pytest or a sanitizer says when it has found something, as opposed to a broken run.
_FOUND = re.compile(
    r"^(FAILED .*|ERROR .*::.*|.*ERROR: AddressSanitizer.*|.*runtime error:.*)$", re.MULTILINE
)


class Mutant(NamedTuple):
    """A planted bug, as `mutants.toml` describes it."""

    name: str
    harm: str
    file: str
    old: str
    new: str
    tests: list[str]
    sanitizer: str = ""

    @property
    def compiled(self) -> bool:
        """Whether the extension has to be compiled for it."""
        return self.file.startswith("ext/")

    def plant(self, source: str) -> str:
        """Return the source with the bug in it.

        Raises
        ------
        ValueError
            If the old text does not occur exactly once.
        """
        count = source.count(self.old)
        if count != 1:
            raise ValueError(f"{self.name}: the old text occurs {count} times in {self.file}")
        return source.replace(self.old, self.new)


class Ended(NamedTuple):
    """How a run of tests ended: exit code (None: it took too long) and all output."""

    code: int | None
    output: str


def read(path: Path = LIST) -> list[Mutant]:
    """Read the list of planted bugs."""
    with path.open("rb") as file:
        return [Mutant(**entry) for entry in tomllib.load(file)["mutant"]]


class Copy:
    """A copy of the tree in which bugs are planted.

    Parameters
    ----------
    place : Path
        An empty directory.
    seconds : float
        How long tests may take.
    """

    def __init__(self, place: Path, seconds: float) -> None:
        self.tree = place / "tree"
        self._build = place / "build"
        self._place = place
        self._seconds = seconds
        shutil.copytree(ROOT, self.tree, ignore=_left_out, symlinks=True)
        # Without optimisation, compiling takes half as long.
        recipe = self.tree / "CMakeLists.txt"
        recipe.write_text(recipe.read_text().replace("-O3", "-O0"))
        # An environment in which the installed package is not seen, but all else beside it.
        venv = place / "venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        (site,) = venv.glob("lib/python*/site-packages")
        others = [path for path in sys.path if path.endswith("site-packages")]
        (site / "tree.pth").write_text("\n".join([str(self.tree / "src"), *others]))
        self._python = venv / "bin" / "python"
        from rs_tensor_encoder import _tiff

        self._whole = Path(_tiff.__file__)
        self._used = self.tree / "src" / "rs_tensor_encoder" / self._whole.name
        shutil.copy(self._whole, self._used)

    def run(self, tests: Sequence[str], sanitizer: str = "", *, first: bool = True) -> Ended:
        """Run tests; the first failure ends them if ``first``."""
        words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *(["-x"] if first else []), *tests]
        start: list[str | Path] = [self._python]
        if sanitizer:
            # What it says of a process that it ends must not be caught and lost.
            words.append("-s")
            start = [self.tree / "tests" / "sanitize.sh", sanitizer, sys.executable]
        return self._ended([*start, *words])

    def try_out(self, mutant: Mutant) -> Ended:
        """Plant a bug, run its tests, and take it out again."""
        path = self.tree / mutant.file
        before = path.read_text()
        path.write_text(mutant.plant(before))
        try:
            if mutant.compiled and not mutant.sanitizer:
                self._compile()
            return self.run(mutant.tests, mutant.sanitizer)
        finally:
            path.write_text(before)
            shutil.copy(self._whole, self._used)

    def _compile(self) -> None:
        """Compile the extension of the tree as it is; from the second time on in seconds."""
        if not self._build.exists():
            pip = [
                sys.executable,
                "-m",
                "pip",
                "install",
                "-q",
                "--no-build-isolation",
                "--no-deps",
            ]
            where = ["--target", self._place / "site", "-C", f"build-dir={self._build}"]
            where += ["-C", "cmake.build-type=Debug"]
            subprocess.run([*pip, *where, self.tree], check=True)
        cmake = Path(sys.executable).with_name("cmake")
        words = [cmake if cmake.exists() else "cmake", "--build", self._build]
        done = subprocess.run(words, check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the extension does not compile:\n{done.stdout}{done.stderr}")
        shutil.copy(self._build / self._whole.name, self._used)

    def _ended(self, words: Sequence[str | Path]) -> Ended:
        # A group of its own, so that what is started by tests ends with them. No compiled
        # Python is kept: a bug as long as what it replaces might be taken for that.
        process = subprocess.Popen(
            words,
            cwd=self.tree,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=self._seconds)
        except subprocess.TimeoutExpired as error:
            return Ended(None, (error.stdout or b"").decode("utf-8", "replace"))
        else:
            return Ended(process.returncode, output)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()


def judge(ended: Ended) -> tuple[str, str]:
    """Say what became of a planted bug: one word, and what shows it."""
    found = _FOUND.search(ended.output)
    if ended.code is None:
        return "timed out", ""
    if ended.code == 0:
        passed = re.search(r"\d+ passed", ended.output)
        return ("SURVIVED", "") if passed else ("NOT TRIED", "its tests are skipped here")
    # A crash ends tests by a signal, which a shell in between turns into a number.
    if ended.code < 0 or ended.code > 128:
        return "killed", f"ended by signal {-ended.code if ended.code < 0 else ended.code - 128}"
    if found is None:
        return "BROKEN", ended.output[-3000:]
    return "killed", found[1][:120]


def campaign(mutants: Sequence[Mutant], seconds: float) -> int:
    """Try all planted bugs, print what became of each, and return the exit code."""
    counts: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="mutants-") as place:
        copy = Copy(Path(place), seconds)
        for sanitizer in sorted({mutant.sanitizer for mutant in mutants}):
            tests = {t for m in mutants if m.sanitizer == sanitizer for t in m.tests}
            ended = copy.run(sorted(tests), sanitizer, first=False)
            if ended.code != 0:
                print(f"the tests fail without any bug:\n{ended.output[-6000:]}")
                return 2
        for mutant in mutants:
            begun = time.monotonic()
            try:
                word, what = judge(copy.try_out(mutant))
            except (ValueError, RuntimeError) as error:
                word, what = "BROKEN", str(error)
            counts[word] = counts.get(word, 0) + 1
            print(f"{word:9} {time.monotonic() - begun:5.1f} s  {mutant.name}  {what}", flush=True)
            if word == "SURVIVED":
                print(f"          {mutant.harm}", flush=True)
    print(", ".join(f"{count} {word}" for word, count in sorted(counts.items())))
    return 1 if counts.keys() & {"SURVIVED", "BROKEN", "NOT TRIED"} else 0


def main() -> int:
    """Run the campaign of the command line."""
    # Whatever ends it, what it has started ends, and the copy is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    parser = argparse.ArgumentParser(description="Plant bugs and see that tests fail.")
    parser.add_argument("words", nargs="*", help="only bugs with one of these in their name")
    parser.add_argument("--list", type=Path, default=LIST, help="the file of planted bugs")
    parser.add_argument("--seconds", type=float, default=180, help="how long tests may take")
    options = parser.parse_args()
    chosen = [
        mutant
        for mutant in read(options.list)
        if not options.words or any(word in mutant.name for word in options.words)
    ]
    if not chosen:
        print("no planted bug has such a name")
        return 2
    return campaign(chosen, options.seconds)


if __name__ == "__main__":
    sys.exit(main())
