"""Fuzzes for so many seconds: `make fuzz SECONDS=n`.

Three targets take turns: the reader of tags, decoding, and the two ways of
decoding against each other. The files that lead to new code are kept in
``build/fuzz/corpus``, so that the next run goes on from them. Seconds are those
of the processor. Exit code 1 if there is a finding.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from seeds import write_seeds

# The share of the time that each gets: all there is of the tags is soon found.
TARGETS = {"tags": 0.1, "decode": 0.45, "both": 0.45}

# Seconds of one round of all targets.
ROUND = 180

# A file that takes longer, in seconds, or more memory, in MB, is a finding.
SLOW, LARGE = 10, 1024

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build" / "fuzz"


def build():
    tools = Path(sys.executable).parent
    subprocess.run([HERE / "build.sh", BUILD, tools / "cython", tools / "cmake"], check=True)


def call(target, *options):
    """Run a target; what it printed, its exit code, and its seconds of processor time."""
    corpus = BUILD / "corpus" / target
    before = os.times()
    done = subprocess.run(
        [BUILD / target, corpus, *options, f"-timeout={SLOW}", f"-rss_limit_mb={LARGE}",
         f"-artifact_prefix={BUILD}/findings/{target}-", "-report_slow_units=3600",
         "-print_final_stats=1"],
        stderr=subprocess.PIPE, text=True, errors="replace", check=False,
    )  # fmt: skip
    after = os.times()
    spent = after.children_user - before.children_user
    spent += after.children_system - before.children_system
    return done.stderr, done.returncode, spent


def take_seeds(target):
    """Put into the target's corpus what leads to code that it does not reach yet."""
    (BUILD / "corpus" / target).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as seeds:
        write_seeds(Path(seeds))
        printed, code, _ = call(target, seeds, "-merge=1")
    if code:
        sys.exit(f"{printed[-4000:]}\n{target} fails on a seed")


def confirmed(target, printed):
    """Whether a finding is one: a process that was stopped for a while seems to hang."""
    name = re.search(r"Test unit written to (\S+/\w+-timeout-\w+)", printed)
    if name is None:
        return True
    for _ in range(3):
        again = [BUILD / target, name[1], f"-timeout={SLOW}"]
        if subprocess.run(again, stderr=subprocess.DEVNULL, check=False).returncode == 0:
            Path(name[1]).unlink()
            return False
    return True


def turn(target, seconds):
    """Fuzz a target; its executions, places of the code reached, and seconds."""
    printed, code, spent = call(target, f"-max_total_time={seconds}", f"-dict={HERE}/tiff.dict")
    if code and not confirmed(target, printed):
        code = 0
    if code:
        print(re.sub(r"(?m)^#.*\n", "", printed)[-6000:])
    executions = re.search(r"stat::number_of_executed_units: *(\d+)", printed)
    covered = re.findall(r" cov: (\d+) ", printed)
    return (
        int(executions[1]) if executions else 0,
        int(covered[-1]) if covered else 0,
        spent,
        code,
    )


def main(seconds):
    build()
    (BUILD / "findings").mkdir(exist_ok=True)
    executions, spent, covered, findings = Counter(), Counter(), {}, 0
    for target in TARGETS:
        take_seeds(target)
    while spent.total() < seconds and not findings:
        rest = min(ROUND, seconds - spent.total())
        for target, share in TARGETS.items():
            done, places, took, code = turn(target, max(1, round(rest * share)))
            executions[target] += done
            spent[target] += took
            covered[target] = places
            findings += code != 0
            print(f"{target}: {done:,} executions in {took:.0f} s, {places:,} places", flush=True)
    print()
    for target in TARGETS:
        print(
            f"{target:8}{executions[target]:14,} executions{spent[target]:9.0f} s"
            f"{covered[target]:8,} places of the code reached"
        )
    print(f"{'in all':8}{executions.total():14,} executions{spent.total():9.0f} s"
          f"{findings:8} findings" + (f" in {BUILD}/findings" if findings else ""))  # fmt: skip
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
