"""Going on where a run on another machine has stopped, or has not stopped at all."""

import json
import os
import shutil
import signal
import threading
import time
from queue import Empty

import pytest

from harm import PATIENCE, Range, compiled, write_source
from oracles import records
from rs_tensor_encoder.encoding.encode import encode
from rs_tensor_encoder.errors import OutOfSpaceError, TargetError
from rs_tensor_encoder.storage import environment, hosts, target
from rs_tensor_encoder.storage.manifest import NAME, Manifest

HERE = Manifest([], boot="b", host="here")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def calm(source, tmp_path_factory):
    """A run that nobody disturbed, and the shim."""
    shim = compiled(tmp_path_factory.mktemp("shim"))
    if shim is None:
        pytest.skip("another host is made up by a shim, which needs Linux and a C compiler")
    field = Range(source, tmp_path_factory.mktemp("calm"), {}, shim)
    assert field.run().code == 0
    return records(field.target), shim


@pytest.fixture
def field(source, calm, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    return Range(source, place, *calm)


@pytest.fixture
def elsewhere(field, tmp_path):
    """The environment of another host, which the locks of this one do not reach."""
    (tmp_path / "boot").write_text("another boot")
    return field.faults(boot=tmp_path / "boot", host="another", lacks="flock=38,locks=38")


def killed(field, how=signal.SIGKILL):
    """Leave a run that was begun on this host, and ended or suspended on the way."""
    process = field.start("--workers", "1")
    field.wait_until(process, 0.5, size=1 << 23)
    process.send_signal(how)
    if how == signal.SIGKILL:
        field.end(process, nothing=[-9])
    assert not field.target.exists()
    return process


@pytest.fixture
def left(tmp_path):
    """Leave a partial target, as a run on some host in some boot has: left(host=..., boot=...)."""
    place = tmp_path / "left"

    def leave(age=0.0, **facts):
        place.mkdir()
        Manifest([{"layout": "a", "digest": "b", "root": "c"}], **facts).save(str(place))
        then = (place / NAME).stat().st_mtime - age
        os.utime(place / NAME, (then, then))
        for name in hosts.COPIED:
            (place / name).write_bytes(b"what was written")
        return str(place)

    return leave


# ---- whole runs -------------------------------------------------------------------


def test_a_killed_run_is_gone_on_with_on_another_host(field, elsewhere):
    killed(field)
    name = os.uname().nodename
    assert Manifest.load(str(field.partial)).host == name
    before = len(field.left())
    assert before > 0
    inode = field.data.stat().st_ino
    field.rest()
    again = field.run(env=elsewhere)
    assert (again.code, again.report["kept"]) == (0, before)
    (note,) = again.report["notes"]
    assert note == (
        f"the last run was on the host {name}, and not on this one (another): every record was "
        "compared with the digest that was noted of it"
    )
    field.check_target()
    assert (field.target / field.data.name).stat().st_ino != inode
    # What is complete is of no host.
    assert "host" not in json.loads((field.target / NAME).read_text())


def test_a_database_that_is_not_whole_is_begun_anew(field, elsewhere):
    killed(field)
    with field.data.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(bytes(4096 * 200))
    field.rest()
    again = field.run(env=elsewhere)
    assert (again.code, again.report["kept"]) == (0, 0)
    assert "its database is not whole" in again.report["notes"][0]
    assert again.report["notes"][0].endswith("begun anew")
    field.check_target()


def test_records_that_are_not_whole_are_encoded_again(field, elsewhere):
    killed(field)
    before = field.left()
    data = field.data.read_bytes()
    at = data.index(before[max(before)]) + 5000
    with field.data.open("r+b") as file:
        file.seek(at)
        file.write(bytes(16))
    field.rest()
    again = field.run(env=elsewhere)
    assert (again.code, again.report["kept"]) == (0, len(before) - 1)
    assert "encoded again" in again.report["notes"][1]
    field.check_target()


def test_an_encoder_that_was_suspended_does_no_harm(field, elsewhere):
    """It comes back when the other one is done, or still at work, and must leave it all to it."""
    first = killed(field, signal.SIGSTOP)
    field.rest()
    second = field.run(env=elsewhere)
    assert second.code == 0
    field.check_target()
    first.send_signal(signal.SIGCONT)
    ended = field.end(first)
    assert ended.code == 4
    field.check_target()
    assert os.listdir(field.place) == ["out"]


def test_an_encoder_that_was_taken_over_does_not_finish(bigearthnet, tmp_path):
    def taken_over(*_):
        Manifest([], boot="another boot", host="another").save(f"{tmp_path}/out.partial")

    with pytest.raises(TargetError, match="has taken it over on the host another, because"):
        encode(bigearthnet, str(tmp_path / "out"), progress=taken_over)
    assert Manifest.load(f"{tmp_path}/out.partial").host == "another"


@pytest.mark.parametrize("restart", [False, True])
def test_an_encoder_that_still_runs_is_respected(bigearthnet, tmp_path, monkeypatch, restart):
    """Through locks that do not reach it: before anything is removed, with --restart, too."""
    out = tmp_path / "out"
    monkeypatch.setattr(hosts, "_RENEWAL", 0.01)
    monkeypatch.setattr(hosts, "_LOOK", 0.05)
    told = []

    def second(*_):
        if not told:
            with monkeypatch.context() as patch:
                patch.setattr("rs_tensor_encoder.storage.manifest.host_name", lambda: "another")
                patch.setattr("rs_tensor_encoder.storage.manifest.boot_id", lambda: "another boot")
                patch.setattr("rs_tensor_encoder.storage.locking._take", lambda *_: True)
                before = sorted(os.listdir(f"{out}.partial"))
                with pytest.raises(TargetError, match=f"on the host {os.uname().nodename}, is wri"):
                    encode(bigearthnet, str(out), restart=restart, tell=told.append)
                # It had the lock, which it was given here, and so it removed the lock's file.
                assert {*os.listdir(f"{out}.partial"), "rs-tensor-encoder.lock"} == {*before}

    assert encode(bigearthnet, str(out), progress=second).complete
    (text,) = told
    assert "s to see whether it still does" in text


# ---- waiting ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "facts",
    [
        {"boot": None},
        {"boot": "b", "host": "here"},
        # A container of the same machine: its locks are known.
        {"boot": "b", "host": "container"},
        {"boot": "unknown", "host": "here"},
        {"boot": "another", "host": "there", "age": 31},
    ],
)
def test_nothing_is_waited_for_without_need(left, facts):
    told = []
    hosts.take_over(left(**facts), HERE, threading.Event(), told.append, copy=False)
    assert told == []


@pytest.mark.parametrize(
    ("facts", "where"),
    [
        ({"boot": "another", "host": "there"}, "on the host there"),
        ({"boot": "unknown", "host": "there"}, "on the host there"),
        ({"boot": "another", "host": "here"}, "or on another one called here"),
        ({"boot": "another", "host": "unknown"}, "on another machine or before"),
        # Begun by a version that noted no host.
        ({"boot": "another"}, "on another machine or before"),
        # A clock that was set back.
        ({"boot": "another", "host": "there", "age": -100}, "on the host there"),
    ],
)
def test_a_fresh_manifest_is_waited_for(left, monkeypatch, facts, where):
    monkeypatch.setattr(hosts, "_QUIET", 0.3)
    monkeypatch.setattr(hosts, "_LOOK", 0.1)
    path = left(**facts)
    before = sorted(os.listdir(path))
    looks = []
    state = hosts._state
    monkeypatch.setattr(hosts, "_state", lambda path: looks.append(path) or state(path))
    told = []
    hosts.take_over(path, HERE, threading.Event(), told.append, copy=False)
    assert where in told[0]
    assert len(looks) > 1
    assert sorted(os.listdir(path)) == before


@pytest.mark.parametrize("change", ["renewed", "removed", "saved"])
def test_a_change_meanwhile_is_another_encoder(left, monkeypatch, change):
    path = left(boot="another", host="there")
    monkeypatch.setattr(hosts, "_LOOK", 0.01)

    def act(_):
        if change == "renewed":
            os.utime(f"{path}/{NAME}")
        elif change == "removed":
            os.remove(f"{path}/{NAME}")
        else:
            Manifest([], boot="another", host="there").save(path)

    with pytest.raises(TargetError, match="another encoder, on the host there, is writing to it"):
        hosts.take_over(path, HERE, threading.Event(), act, copy=True)


def test_a_request_to_end_ends_the_wait(left):
    stop = threading.Event()
    path = left(boot="another", host="there")
    hosts.take_over(path, HERE, stop, lambda _: stop.set(), copy=True)
    assert sorted(os.listdir(path)) == sorted([*hosts.COPIED, NAME])


def test_a_run_that_is_ended_while_it_waits(bigearthnet, tmp_path):
    partial = tmp_path / "out.partial"
    partial.mkdir()
    state = Manifest.begin([source.entry() for source in bigearthnet.sources])
    state.boot, state.host = "another", "there"
    state.save(str(partial))
    before = (partial / NAME).read_bytes()
    stop = threading.Event()
    report = encode(bigearthnet, str(tmp_path / "out"), stop=stop, tell=lambda _: stop.set())
    assert report.interrupted
    assert not report.complete
    assert (partial / NAME).read_bytes() == before
    assert os.listdir(partial) == [NAME]


def test_a_heartbeat_renews_the_manifest(left):
    path = left(age=3600)
    before = os.stat(f"{path}/{NAME}").st_mtime_ns
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hosts, "_RENEWAL", 0.01)
        with hosts.Heartbeat(path):
            until = time.monotonic() + PATIENCE
            while os.stat(f"{path}/{NAME}").st_mtime_ns == before and time.monotonic() < until:
                time.sleep(0.01)
    assert os.stat(f"{path}/{NAME}").st_mtime_ns > before


def test_a_heartbeat_renews_the_manifest_each_time_it_is_due(left, monkeypatch):
    """Three times here, and then it is asked to leave; without a clock."""
    path = f"{left()}/{NAME}"
    renewed = []

    class Due:
        """What the thread waits at; it never waits."""

        def get(self, timeout):
            assert timeout == hosts._RENEWAL
            renewed.append(os.stat(path).st_mtime > 0)
            os.utime(path, (0, 0))
            if len(renewed) <= 3:
                raise Empty

        def put(self, item):
            pass

    monkeypatch.setattr(hosts, "SimpleQueue", Due)
    hosts.Heartbeat(os.path.dirname(path)).close()
    assert renewed == [True, True, True, True]


def test_an_encoder_has_a_heartbeat(bigearthnet, tmp_path, monkeypatch):
    monkeypatch.setattr(hosts, "_RENEWAL", 0.01)
    seen = []

    def progress(*_):
        path = f"{tmp_path}/out.partial/{NAME}"
        os.utime(path, (0, 0))
        until = time.monotonic() + PATIENCE
        while not os.stat(path).st_mtime and time.monotonic() < until:
            time.sleep(0.01)
        seen.append(os.stat(path).st_mtime > 0)

    assert encode(bigearthnet, str(tmp_path / "out"), progress=progress).complete
    assert all(seen)
    assert seen


# ---- copies -----------------------------------------------------------------------


def test_what_another_host_has_open_is_not_written_to(left):
    path = left(boot="another", host="there", age=60)
    files = [open(f"{path}/{name}", "r+b", buffering=0) for name in hosts.COPIED]  # noqa: SIM115
    told = []
    hosts.take_over(path, HERE, threading.Event(), told.append, copy=True)
    assert "copying 32 bytes that were written on the host there" in told[0]
    for name, file in zip(hosts.COPIED, files, strict=True):
        file.write(b"too late")
        file.close()
        with open(f"{path}/{name}", "rb") as copy:
            assert copy.read() == b"what was written"
    assert sorted(os.listdir(path)) == sorted([*hosts.COPIED, NAME])


@pytest.mark.parametrize("facts", [{"host": "here"}, {"host": None}, {"host": "unknown"}])
def test_what_may_be_of_this_host_is_not_copied(left, facts):
    told = []
    path = left(boot="another", age=60, **facts)
    hosts.take_over(path, HERE, threading.Event(), told.append, copy=True)
    assert told == []


def test_a_copy_that_does_not_fit(left, small_disk, monkeypatch):
    path = left(boot="another", host="there", age=60)
    place = small_disk / "out.partial"
    shutil.copytree(path, place)
    with (place / "data.mdb").open("wb") as file:
        file.write(bytes(40 << 20))
    before = sorted(os.listdir(place))
    monkeypatch.setattr(hosts, "_QUIET", 0)
    with pytest.raises(OutOfSpaceError, match=r"data\.mdb\.new: No space left on device; make"):
        hosts.take_over(str(place), HERE, threading.Event(), str, copy=True)
    assert sorted(os.listdir(place)) == before


# ---- what is said -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "here", "text"),
    [
        (("x", "here"), ("b", "here"), "was restarted since the last run, or is another one of"),
        (("x", None), ("b", "here"), "was restarted since the last run, or is another one, and"),
        (("x", "unknown"), ("b", "here"), "was restarted since the last run, or is another one,"),
        (("x", "here"), ("unknown", "here"), "this system does not say whether it was restarted"),
        (("unknown", "here"), ("b", "here"), "what the last run had written may not all have"),
    ],
)
def test_what_is_known_is_said(old, here, text):
    old = Manifest([], boot=old[0], host=old[1])
    here = Manifest([], boot=here[0], host=here[1])
    assert not hosts.is_elsewhere(old, here)
    assert text in hosts.why_not_trusted(old, here)
    assert hosts.why_not_trusted(old, here).endswith("reached the disk: begun anew")


def test_a_manifest_without_a_host_is_read(tmp_path):
    """As of versions before there was one, and of every complete target."""
    Manifest([], boot="x").save(str(tmp_path))
    assert "host" not in json.loads((tmp_path / NAME).read_text())
    assert Manifest.load(str(tmp_path)) == Manifest([], boot="x")
    Manifest([], boot="x", host="y").save(str(tmp_path))
    assert Manifest.load(str(tmp_path)).host == "y"


def test_without_a_verifier_only_what_is_proved_is_gone_on_with(bigearthnet, tmp_path, monkeypatch):
    encode(bigearthnet, str(tmp_path / "out"))
    monkeypatch.setattr(environment, "can_verify", lambda: False)
    monkeypatch.setattr("rs_tensor_encoder.storage.structure.proved", lambda *_: False)
    assert target.verify(str(tmp_path / "out"), strict=True) == [
        "its structure cannot be proved without lmdb 3.0 or newer"
    ]
