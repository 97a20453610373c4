"""The check without sources: copies, parts, and evidence that was tampered with."""

import json
import os
import shutil
import signal
import struct
import subprocess
import sys

import lmdb
import numpy as np
import pytest
import safetensors.numpy

from oracles import records, signed
from rs_tensor_encoder.storage.environment import can_verify, verify


@pytest.fixture(scope="module")
def encoded(roots, tmp_path_factory):
    """A database whose sources are of no use any more: do not change it."""
    target = tmp_path_factory.mktemp("encoded") / "out"
    words = [sys.executable, "-m", "rs_tensor_encoder", *roots, str(target), "-q"]
    subprocess.run(words, check=True, capture_output=True)
    return target


@pytest.fixture
def copy(encoded, tmp_path):
    shutil.copytree(encoded, tmp_path / "copy")
    return tmp_path / "copy"


def edit(target, action):
    with lmdb.open(str(target)) as env, env.begin(write=True) as txn:
        action(txn)


def test_a_copy_is_proved_without_its_sources(run, copy):
    outcome = run("check", "--digests", copy)
    assert outcome.code == 0
    assert outcome.out == (
        f"{copy}: no differences; 12 of 12 patches compared with digests (1.7 MB); "
        "structure verified\n"
    )
    found = json.loads(run("check", "--digests", copy, "--json").out)
    assert (found["exit_code"], found["checked"], found["decoder"]) == (0, 12, "digests")
    assert found["bytes"] == sum(len(value) for value in records(copy).values())


def test_every_kind_of_difference_is_named(run, copy):
    keys = list(records(copy))

    def change(txn):
        value = bytearray(txn.get(keys[0]))
        value[-1] ^= 1
        txn.put(keys[0], bytes(value))
        txn.put(keys[1], txn.get(keys[1]) + b"\0")
        txn.delete(keys[2])
        txn.put(b"more", b"x")

    edit(copy, change)
    outcome = run("check", "--digests", copy)
    assert outcome.code == 1
    assert [line.partition(": ")[2] for line in outcome.err.splitlines()] == [
        f"{keys[0].decode()}: the value is not the one that was written: its digest differs",
        f"{keys[1].decode()}: the value has 115,345 bytes, not the 115,344 that it had",
        f"{keys[2].decode()}: no such record",
        "more: a record that the digests do not know",
    ]
    assert f"{copy}: 4 differences; 11 of 12 patches" in outcome.out


def test_a_bit_in_the_file_itself(run, copy):
    path = copy / "data.mdb"
    data = bytearray(path.read_bytes())
    value = next(iter(records(copy).values()))
    data[data.index(value[500:600])] ^= 0x20
    path.write_bytes(data)
    outcome = run("check", "--digests", copy)
    assert outcome.code == 1
    assert "its digest differs" in outcome.err


def test_a_part_is_proved_by_the_digests_of_the_whole(run, encoded, tmp_path):
    part = tmp_path / "part"
    few = dict(list(records(encoded).items())[3:7])
    part.mkdir()
    edit(part, lambda txn: [txn.put(key, value) for key, value in few.items()])
    evidence = encoded / "rs-tensor-encoder.digests"
    arguments = ["check", "--digests", "--against", evidence, part]
    outcome = run(*arguments, "--subset")
    assert outcome.code == 0
    assert "4 of 12 patches compared" in outcome.out
    outcome = run(*arguments)
    assert outcome.code == 1
    assert "8 differences" in outcome.out
    edit(part, lambda txn: txn.put(b"more", b"x"))
    assert run(*arguments, "--subset").code == 1
    outcome = run("check", "--digests", part)
    assert outcome.code == 4
    assert "has no rs-tensor-encoder.json; name a file of digests by --against" in outcome.err


def refused(run, target, *words):
    outcome = run("check", "--digests", target)
    assert outcome.code == 4, outcome
    assert outcome.out == ""
    assert len(outcome.err.splitlines()) == 1
    for word in words:
        assert word in outcome.err


def test_torn_and_edited_evidence_is_an_error_not_a_pass(run, copy, roots):
    path = copy / "rs-tensor-encoder.digests"
    data = path.read_bytes()
    for text in (b"", data[:100], data[:-1], data + b"\0", data.replace(b"70_48", b"70_47", 1)):
        path.write_bytes(text)
        refused(run, copy, "rs-tensor-encoder.digests")
        # The check against the sources does not pass over it either.
        outcome = run("check", *roots, copy, "--workers", "1")
        assert (outcome.code, outcome.out) == (4, "")
    path.unlink()
    refused(run, copy, "No such file")
    path.write_bytes(data)
    manifest = copy / "rs-tensor-encoder.json"
    found = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(found | {"patches": 11}))
    refused(run, copy, "torn or edited")
    manifest.write_text(signed(found | {"patches": 11}))
    refused(run, copy, "one of the two was replaced")
    manifest.write_text(signed(found | {"digests": "0" * 64}))
    refused(run, copy, "one of the two was replaced")
    manifest.write_text(signed(found | {"digests": None}))
    refused(run, copy, "written only when all is encoded")
    manifest.write_text(signed(found))
    assert run("check", "--digests", copy).code == 0


def test_evidence_of_another_database(run, copy, made_up, tmp_path):
    run("--hyspecnet", made_up.hyspecnet, tmp_path / "other", "-q")
    shutil.copy(tmp_path / "other" / "rs-tensor-encoder.digests", copy)
    refused(run, copy, "one of the two was replaced")


def test_words_that_do_not_go_together(run, copy, roots):
    for arguments in (
        ["--digests", *roots],
        ["--digests", "--sample", "2"],
        ["--against", "x"],
        ["--subset"],
    ):
        outcome = run("check", *arguments, copy)
        assert outcome.code == 2
        assert "--digests" in outcome.err


def test_info_says_the_digest_of_all(run, copy):
    digest = (copy / "rs-tensor-encoder.digests").read_bytes()[-32:].hex()
    assert f"digests: sha256 {digest}" in run("info", copy).out
    assert json.loads(run("info", copy, "--json").out)["digests"] == digest


def test_info_says_that_digests_are_torn(run, copy):
    path = copy / "rs-tensor-encoder.digests"
    whole = path.read_bytes()
    for torn in (whole[:-40], whole[:60] + b"x" + whole[61:], b""):
        path.write_bytes(torn)
        outcome = run("info", copy)
        assert outcome.code == 4
        assert outcome.err.startswith(f"Error: {path}: ")
        # All else is said all the same.
        assert "12 patches" in outcome.out
        outcome = run("info", copy, "--json")
        assert outcome.code == 4
        assert json.loads(outcome.out)["problem"] in outcome.err
        assert run("check", "--digests", copy).code == 4
    path.unlink()
    assert run("info", copy).code == 0


def test_a_check_by_digests_can_be_interrupted(many_patches, tmp_path):
    words = [sys.executable, "-m", "rs_tensor_encoder"]
    target = str(tmp_path / "out")
    subprocess.run(
        [*words, "--bigearthnet-s1-root", str(many_patches), target, "-q"], check=True,
        capture_output=True,
    )  # fmt: skip
    # Sent to itself at the first record: a moment that does not depend on the machine.
    code = f"""
import os, signal, sys
from rs_tensor_encoder.checking import against_digests as proof
from rs_tensor_encoder.cli import main
digest_of = proof.digest_of
def interrupted(value):
    os.kill(os.getpid(), signal.{signal.SIGINT.name})
    return digest_of(value)
proof.digest_of = interrupted
sys.exit(main(["check", "--digests", {target!r}]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ
    )
    assert (done.returncode, done.stderr) == (130, "")
    assert "interrupted; 1 of 2,000 patches compared with digests" in done.stdout


# ---- databases of strangers -------------------------------------------------


def test_untrusted_databases_are_verified_before_they_are_opened(run, copy, roots, monkeypatch):
    if not can_verify():
        pytest.skip("lmdb before 3.0 has no verifier")
    for verb in (["info"], ["check", "--digests"], ["check", *roots, "--workers", "1"]):
        assert run(*verb, "--untrusted", copy).code == 0
    path = copy / "data.mdb"
    whole = path.read_bytes()
    monkeypatch.setattr(
        "rs_tensor_encoder.storage.environment.open_environment", lambda *_, **__: 1 / 0
    )
    # Pages that bear their own number have structure; the others are the inside of values.
    pages = [
        page
        for page in range(len(whole) // 4096)
        if struct.unpack_from("<Q", whole, page * 4096) == (page,)
    ]
    assert len(pages) > 12
    unused = 0
    for page in pages:
        at = page * 4096
        path.write_bytes(whole[:at] + b"\xff" * 4096 + whole[at + 4096 :])
        if not verify(str(copy)):
            # A page that a later commit has freed: what it holds means nothing.
            unused += 1
            continue
        for verb in (["info"], ["check", "--digests"]):
            outcome = run(*verb, "--untrusted", copy)
            assert outcome.code == 4, page
            assert "the database is damaged" in outcome.err
            assert outcome.out == ""
    assert unused <= 4


def test_untrusted_without_a_verifier_is_refused(run, copy, monkeypatch):
    monkeypatch.setattr("rs_tensor_encoder.storage.environment.can_verify", lambda: False)
    outcome = run("info", "--untrusted", copy)
    assert outcome.code == 4
    assert "needs lmdb 3.0 or newer" in outcome.err


def test_pipes_in_the_place_of_sidecars_are_not_waited_for(run, copy):
    for name in ("rs-tensor-encoder.digests", "rs-tensor-encoder.json", "data.mdb"):
        (copy / name).unlink()
        os.mkfifo(copy / name)
        outcome = run("check", "--digests", copy)
        assert outcome.code == 4
        outcome = run("info", "--untrusted", copy, "-q")
        assert outcome.code == (0 if name == "rs-tensor-encoder.json" else 4)


def test_names_of_strangers_cannot_command_a_terminal(run, copy, tmp_path):
    evil = b"\x1b]0;evil\x07"
    tensors = {"\x1b[2J": np.zeros((1, 1))}
    with lmdb.open(str(tmp_path / "other")) as env, env.begin(write=True) as txn:
        txn.put(evil, safetensors.numpy.save(tensors))
    outcome = run("info", "--untrusted", tmp_path / "other")
    assert "keys: \\x1b]0;evil\\x07\n" in outcome.out
    assert "\\x1b[2J" in outcome.out
    evidence = copy / "rs-tensor-encoder.digests"
    differing = run("check", "--digests", "--against", evidence, tmp_path / "other", "-v")
    assert "Differs: \\x1b]0;evil\\x07: a record that the digests do not know" in differing.err
    for text in (*outcome, *differing):
        assert "\x1b" not in str(text)


def test_headers_that_claim_more_than_there_is(roots, run, copy):
    key, value = next(iter(records(copy).items()))
    for length in (len(value) - 7, 1 << 31, 100_000_001, 1 << 63, (1 << 64) - 1):
        edit(copy, lambda txn, n=length: txn.put(key, n.to_bytes(8, "little") + value[8:]))
        outcome = run("check", *roots, copy, "--workers", "1")
        assert outcome.code == 1
        assert "not in the safetensors format: no such header" in outcome.err
