"""Files of every storage, checked by each decoder: a right database is never called wrong."""

import itertools
import json
import os
import random
import warnings
from collections import Counter

import lmdb
import numpy as np
import pytest
import safetensors.numpy
import tifffile

import storages
from oracles import records, value_of
from rs_tensor_encoder.checking import decoders, tiff_tags
from rs_tensor_encoder.checking.against_sources import check
from rs_tensor_encoder.checking.decoder_limits import doubt
from rs_tensor_encoder.checking.decoder_order import DecoderOrder
from rs_tensor_encoder.checking.decoders import NAMES, DecoderError
from rs_tensor_encoder.encoding.encode import encode
from rs_tensor_encoder.layouts.parser import parse
from rs_tensor_encoder.sources.discover import discover
from rs_tensor_encoder.sources.plan import Source
from tiff_factory import LONG, SHORT, ramp, strips

#: Files whose storage is chosen at random, besides those of rare kinds.
FILES = int(os.environ.get("RS_TENSOR_STORAGES", "150"))
SEED = int(os.environ.get("RS_TENSOR_SEED", random.randrange(10**6)))

LAYOUT = """
patch = "file"
path = '[^/]+'
key = "{name}"
[[files]]
path = "{name}.tif"
bands = ["B{1..%d}"]
"""


def plan_of(root, bands):
    """A plan of directories, one for each number of bands."""
    return discover(
        [
            Source(parse(f"bands{count}", (LAYOUT % count).encode()), str(root / str(count)))
            for count in sorted(set(bands))
        ]
    )


class Zoo:
    """Files of every storage, and the database that was made from them."""

    def __init__(self, root):
        def directory(bands):
            path = root / str(bands)
            path.mkdir(exist_ok=True)
            return path

        print(f"RS_TENSOR_SEED={SEED}")
        every = itertools.chain(
            storages.write_chance(directory, FILES, SEED),
            storages.write_special(directory),
            storages.sparse_by_gdal(directory),
        )
        self.said = {file.name: (file, said) for file, said in every}
        self.plan = plan_of(root, [file.bands for file, _ in self.said.values()])
        self.target = root / "out"
        report = encode(self.plan, str(self.target), skip_failed=True)
        failures = {name for name, _ in report.failures}
        # libtiff before 4.7 does not read masks of several bands.
        self.left_out = {name for name in failures if "lerc" in name and "nan" in name}
        assert failures == self.left_out
        self.encoded = {name: file for name, (file, _) in self.said.items()}
        for name in self.left_out:
            del self.encoded[name]
        self.tensors = sum(file.bands for file in self.encoded.values())

    def path(self, name):
        file, _ = self.said[name]
        return str(self.target.parent / str(file.bands) / f"{name}.tif")

    def check(self, **options):
        # What a library has to say of such files is no business of a user's.
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return check(self.plan, str(self.target), workers=1, **options)

    def named(self, found):
        """What each of these names stands for, where a test fails."""
        return {one.patch: (str(one), self.said[one.patch][1]) for one in found}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    return Zoo(tmp_path_factory.mktemp("zoo"))


@pytest.fixture
def harmed(zoo):
    """Change records, and have them as they were behind the test: harmed({name: value})."""
    before = records(zoo.target)

    def write(values):
        with lmdb.open(str(zoo.target), map_size=1 << 30) as env, env.begin(write=True) as txn:
            for name, value in values.items():
                txn.put(name.encode(), value)

    yield write
    write({name.decode(): value for name, value in before.items()})


def only(monkeypatch, *names):
    """Have no other decoders than these."""
    installed = decoders.decoder

    def find(name, limit=decoders.LIMIT):
        if name not in names:
            raise DecoderError(f"{name} is not installed")
        return installed(name, limit)

    monkeypatch.setattr(decoders, "decoder", find)


@pytest.mark.parametrize("name", NAMES)
def test_no_decoder_calls_a_right_database_wrong(zoo, name):
    report = zoo.check(decoder=name)
    assert zoo.named(report.differences) == {}
    assert zoo.named(report.not_compared) == {}
    assert report.checked == len(zoo.encoded)
    assert report.left_out == len(zoo.left_out)
    assert sum(report.decoders.values()) == report.tensors == zoo.tensors
    # Most of them by the one that was asked.
    assert report.decoders[name] > 0.6 * report.tensors


def test_processes_count_the_same(zoo):
    one, two = (check(zoo.plan, str(zoo.target), workers=workers) for workers in (1, 2))
    assert one.as_dict() == two.as_dict()


@pytest.mark.parametrize("name", NAMES)
def test_what_no_installed_decoder_reads_is_neither_right_nor_wrong(zoo, monkeypatch, name):
    only(monkeypatch, name)
    report = zoo.check(decoder=name)
    assert zoo.named(report.differences) == {}
    assert report.checked + len(report.not_compared) == len(zoo.encoded)
    assert report.not_compared
    missing = sum(zoo.said[one.patch][0].bands for one in report.not_compared)
    assert report.decoders == {name: zoo.tensors - missing}
    for one in report.not_compared:
        assert one.reasons.keys() == set(NAMES)
        assert one.file == zoo.path(one.patch)
        others = [other for other in NAMES if other != name]
        assert [one.reasons[other] for other in others] == ["not installed"] * 2
        assert f"pip install {others[0]} or {others[1]}" in one.advice


def test_tifffile_alone_reads_all_but_a_few_kinds(zoo, monkeypatch):
    only(monkeypatch, "tifffile")
    left = {zoo.said[one.patch][1] for one in zoo.check().not_compared}
    known = ("predictor", "lerc", "jpeg-band", "jpeg-pixel")
    assert all(any(kind in said for kind in known) for said in left), left
    assert not any("lerc" in said and "whole" in said for said in left)


@pytest.mark.parametrize("name", NAMES)
def test_each_damaged_record_is_found_by_each_decoder(zoo, harmed, name):
    chance = random.Random(SEED)
    damaged = {}
    for key, value in records(zoo.target).items():
        header = 8 + int.from_bytes(value[:8], "little")
        at = chance.randrange(header, len(value))
        changed = bytes([value[at] ^ 1 << chance.randrange(8)])
        damaged[key.decode()] = value[:at] + changed + value[at + 1 :]
    harmed(damaged)
    report = zoo.check(decoder=name)
    assert Counter(found.patch for found in report.differences) == Counter(damaged.keys())
    assert all(found.pixel is not None for found in report.differences)
    assert report.not_compared == []


def test_what_a_doubted_decoder_reads_is_a_difference(zoo, harmed):
    """Records that hold what a decoder misreads are wrong for every decoder, that one too."""
    wrong = {}
    found = records(zoo.target)
    readers = [decoders.decoder(name) for name in NAMES]
    for name, file in zoo.encoded.items():
        for read in readers:
            try:
                bands = read(zoo.path(name))
            except Exception:  # noqa: BLE001, S112  that it fails is the business of others
                continue
            if len(bands) != file.bands:
                continue
            value = value_of({f"B{i + 1}": band for i, band in enumerate(bands)})
            if value != found[name.encode()]:
                wrong[name] = value
    kinds = ("sparse", "no-byte-counts", "predictor", "lerc", "jpeg-pixel")
    assert all(any(kind in zoo.said[name][1] for name in wrong) for kind in kinds)
    harmed(wrong)
    for reader in NAMES:
        report = zoo.check(decoder=reader)
        assert {found.patch for found in report.differences} == wrong.keys()


def test_a_true_difference_beside_a_file_that_cannot_be_compared(tmp_path, monkeypatch):
    """The other files of a patch are compared, and its record must have all bands."""
    text = LAYOUT % 1 + '[[files]]\npath = "{name}_odd.txt.tif"\nbands = ["C1"]\n'
    text = text.replace("'[^/]+'", "'[a-z]'")
    (tmp_path / "src").mkdir()
    strips(ramp(20, 24)).write(tmp_path / "src" / "a.tif")
    tiff = strips(ramp(20, 24), 5)
    tiff.tags[317] = (SHORT, [2])
    tiff.write(tmp_path / "src" / "a_odd.txt.tif")
    plan = discover([Source(parse("own", text.encode()), str(tmp_path / "src"))])
    encode(plan, str(tmp_path / "out"))
    only(monkeypatch, "tifffile")

    value = records(tmp_path / "out")[b"a"]

    def found(change):
        tensors = safetensors.numpy.load(value)
        change(tensors)
        with lmdb.open(str(tmp_path / "out")) as env, env.begin(write=True) as txn:
            txn.put(b"a", value_of(tensors))
        report = check(plan, str(tmp_path / "out"), workers=1)
        assert [one.patch for one in report.not_compared] == ["a"]
        assert (report.checked, report.decoders) == (0, {"tifffile": 1})
        return [one.band for one in report.differences]

    assert found(lambda _: None) == []
    assert found(lambda tensors: tensors["B1"].__setitem__((3, 4), 1)) == ["B1"]
    assert found(lambda tensors: tensors.pop("C1")) == ["C1"]


# ---- what the user sees -----------------------------------------------------


@pytest.fixture
def one_file(tmp_path, run):
    """A layout, a source of one odd file and its database."""
    (tmp_path / "own.toml").write_text(LAYOUT % 1)
    (tmp_path / "src").mkdir()
    tiff = strips(ramp(20, 24), 5)
    tiff.tags[317] = (SHORT, [2])
    tiff.write(tmp_path / "src" / "odd.tif")
    strips(ramp(20, 24)).write(tmp_path / "src" / "usual.tif")
    arguments = ["--layout", tmp_path / "own.toml", tmp_path / "src", tmp_path / "out", "-q"]
    assert run(*arguments).code == 0
    return ["check", *arguments, "--workers", "1"]


def test_the_report_says_which_decoder_read_how_many_tensors(one_file, run):
    outcome = run(*one_file)
    assert outcome.code == 0
    assert "no differences; 2 of 2 patches compared with tifffile and rasterio" in outcome.out
    assert "tensors by decoder: tifffile 1, rasterio 1" in outcome.out
    report = json.loads(run(*one_file, "--json").out)
    assert report["decoders"] == {"rasterio": 1, "tifffile": 1}
    assert (report["not_compared"], report["exit_code"]) == ([], 0)


def test_what_is_not_compared_is_listed_with_reasons_and_advice(
    one_file, run, monkeypatch, tmp_path
):
    only(monkeypatch, "tifffile")
    outcome = run(*one_file)
    assert outcome.code == 3
    assert outcome.err.count("Not compared: ") == 1
    assert "Differs" not in outcome.err
    path = tmp_path / "src" / "odd.tif"
    assert f"Not compared: odd: {path}: tifffile: not asked: it undoes a pred" in outcome.err
    assert "; rasterio, pylibtiff: not installed; " in outcome.err
    assert "pip install rasterio or pylibtiff" in outcome.err
    assert "1 of 2 patches compared with tifffile" in outcome.out
    assert "1 file not compared" in outcome.out
    report = json.loads(run(*one_file, "--json").out)
    assert report["exit_code"] == 3
    (found,) = report["not_compared"]
    assert (found["patch"], found["file"]) == ("odd", str(path))
    assert found["reasons"].keys() == set(NAMES)
    # A difference weighs more.
    strips(ramp(20, 24) + np.uint16(1)).write(tmp_path / "src" / "usual.tif")
    assert run(*one_file).code == 1


def test_many_that_are_not_compared_are_counted(tmp_path, run):
    (tmp_path / "own.toml").write_text(LAYOUT % 1)
    (tmp_path / "src").mkdir()
    for index in range(30):
        strips(ramp(4, 4)).write(tmp_path / "src" / f"{index:02d}.tif")
    arguments = ["--layout", tmp_path / "own.toml", tmp_path / "src", tmp_path / "out", "-q"]
    assert run(*arguments).code == 0
    for path in (tmp_path / "src").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    arguments += ["--workers", "1"]
    outcome = run("check", *arguments)
    assert outcome.code == 3
    assert outcome.err.count("Not compared: ") == 20
    assert "... and 10 more; -v lists them all" in outcome.err
    assert "if it was changed since it was encoded, restore it" in outcome.err
    assert run("check", *arguments, "-v").err.count("Not compared: ") == 30


# ---- decoders, one by one ---------------------------------------------------


def test_a_decoder_that_changes_the_samples_is_passed_over(tmp_path, monkeypatch):
    path = str(strips(ramp(20, 24, "i1")).write(tmp_path / "x.tif"))
    installed = decoders.decoder

    def find(name, limit=decoders.LIMIT):
        read = installed(name, limit)
        if name == "rasterio":
            # GDAL before 3.7 has no type for signed bytes.
            return lambda *given: read(*given).view("u1")
        if name == "tifffile":
            return lambda *given: read(*given)[:, :-1]
        return read

    monkeypatch.setattr(decoders, "decoder", find)
    file = DecoderOrder("rasterio", decoders.LIMIT).open(path)
    reading = file.next_reading()
    assert reading.decoder == "pylibtiff"
    assert np.array_equal(reading.bands, ramp(20, 24, "i1")[None])
    assert file.reasons["rasterio"] == "reads samples of type int8 as uint8"
    assert file.reasons["tifffile"] == "reads 1 x 20 x 24 samples as 1 x 19 x 24"
    assert file.next_reading() is None


def test_jpeg_may_be_rounded_by_one_decoder_but_not_by_all(tmp_path, monkeypatch):
    (tmp_path / "1").mkdir()
    options = {"compression": "jpeg", "photometric": "minisblack", "metadata": None}
    tifffile.imwrite(tmp_path / "1" / "a.tif", ramp(16, 16, "u1"), **options)
    plan = plan_of(tmp_path, [1])
    encode(plan, str(tmp_path / "out"))
    installed = decoders.decoder
    rounded = {"tifffile"}

    def find(name, limit=decoders.LIMIT):
        read = installed(name, limit)
        return (lambda *given: read(*given) ^ np.uint8(1)) if name in rounded else read

    monkeypatch.setattr(decoders, "decoder", find)
    report = check(plan, str(tmp_path / "out"), workers=1)
    assert (report.differences, report.decoders) == ([], {"rasterio": 1})
    rounded.update(NAMES)
    report = check(plan, str(tmp_path / "out"), workers=1)
    assert [found.band for found in report.differences] == ["B1"]
    # No other compression has this grace.
    strips(ramp(16, 16, "u1"), compress=True).write(tmp_path / "1" / "a.tif")
    encode(plan, str(tmp_path / "other"))
    rounded.clear()
    rounded.add("tifffile")
    report = check(plan, str(tmp_path / "other"), workers=1)
    assert [found.band for found in report.differences] == ["B1"]


def test_a_last_strip_with_all_its_rows_is_not_left_to_libtiff(tmp_path):
    chance = random.Random(1)
    pixels = storages.pixels_of("u2", 2, 21, 13, chance)
    for planar, whole in itertools.product((False, True), (False, True)):
        tiff = storages.raw(pixels, "deflate", chunk=8, planar=planar, whole_last=whole)
        path = str(tiff.write(tmp_path / "x.tif"))
        tags = tiff_tags.read_tags(path)
        reasons = [doubt(name, path, tags) for name in NAMES]
        assert [reason is not None for reason in reasons] == [False, whole, whole]
        reading = DecoderOrder("pylibtiff", decoders.LIMIT).open(path).next_reading()
        assert reading.decoder == ("tifffile" if whole else "pylibtiff")
        assert np.array_equal(reading.bands, pixels)


@pytest.mark.parametrize("text", ["0x10", "NAN", "1.#INF"])
def test_rasterio_is_not_asked_where_versions_of_gdal_differ(tmp_path, text):
    pixels = storages.pixels_of("f4", 1, 20, 13, random.Random(1))
    tiff = storages.raw(pixels, chunk=8, sparse=0.5, nodata=text, chance=random.Random(1))
    file = DecoderOrder("rasterio", decoders.LIMIT).open(str(tiff.write(tmp_path / "x.tif")))
    assert file.next_reading().decoder == "tifffile"
    assert f"read the nodata text {text!r} differently" in file.reasons["rasterio"]
    # Where nothing is left out, the text has no say.
    whole = storages.raw(pixels, chunk=8, nodata=text)
    file = DecoderOrder("rasterio", decoders.LIMIT).open(str(whole.write(tmp_path / "y.tif")))
    assert file.next_reading().decoder == "rasterio"


@pytest.mark.parametrize("shape", [(9, 9), (60, 80)])
def test_pylibtiff_is_given_the_strips_that_the_file_lists(tmp_path, shape):
    """A large strip would be cut into many by libtiff, of which the file says nothing."""
    pixels = storages.pixels_of("f4", 1, *shape, random.Random(1))
    for sparse in (0, 1):
        tiff = storages.raw(pixels, sparse=sparse, nodata="-7", chance=random.Random(1))
        path = str(tiff.write(tmp_path / "x.tif"))
        reading = DecoderOrder("pylibtiff", decoders.LIMIT).open(path).next_reading()
        assert reading.decoder == "pylibtiff"
        assert np.array_equal(
            reading.bands, np.full_like(pixels, -7) if sparse else pixels, equal_nan=True
        )


def test_rasterio_narrows_floats_without_a_word(tmp_path):
    pixels = storages.pixels_of("f2", 1, 20, 13, random.Random(1))
    tiff = storages.raw(pixels, chunk=20, sparse=1, nodata="70000", chance=random.Random(1))
    path = str(tiff.write(tmp_path / "x.tif"))
    found = decoders.decoder("rasterio")(path)
    assert np.array_equal(found, np.full_like(pixels, np.inf))


@pytest.mark.parametrize("photometric", [5, 6, 8])
def test_colours_that_encode_refuses_may_be_left_out(tmp_path, photometric):
    """Decoders read such files; the patches were rightly left out all the same."""
    (tmp_path / "4").mkdir()
    tiff = storages.raw(storages.pixels_of("u1", 4, 9, 9, random.Random(1)), chunk=3)
    tiff.tags[262] = (SHORT, [photometric])
    tiff.write(tmp_path / "4" / "a.tif")
    storages.raw(storages.pixels_of("u1", 4, 9, 9, random.Random(2))).write(
        tmp_path / "4" / "b.tif"
    )
    plan = plan_of(tmp_path, [4])
    encode(plan, str(tmp_path / "out"), skip_failed=True)
    report = check(plan, str(tmp_path / "out"), workers=1)
    assert (report.differences, report.left_out, report.checked) == ([], 1, 1)


def test_two_images_and_odd_lengths_may_be_left_out(tmp_path):
    (tmp_path / "1").mkdir()
    two = strips(ramp(9, 9))
    two.pages = [(strips(ramp(9, 9)).tags, strips(ramp(9, 9)).chunks)]
    two.write(tmp_path / "1" / "two.tif")
    long = strips(ramp(9, 9), 3)
    long.chunks[0] += b"\0"
    long.write(tmp_path / "1" / "long.tif")
    strips(ramp(9, 9)).write(tmp_path / "1" / "usual.tif")
    plan = plan_of(tmp_path, [1])
    assert len(encode(plan, str(tmp_path / "out"), skip_failed=True).failures) == 2
    report = check(plan, str(tmp_path / "out"), workers=1)
    assert (report.differences, report.left_out, report.checked) == ([], 2, 1)


# ---- tags -------------------------------------------------------------------


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", "<>")
def test_tags_are_those_that_tifffile_reads(tmp_path, order, big):
    pixels = storages.pixels_of("i4", 3, 40, 33, random.Random(1))
    tiff = storages.raw(
        pixels, "lzw", chunk=(16, 32), planar=True, order=order, big=big, predictor=2,
        sparse=0.4, nodata="-7", chance=random.Random(3),
    )  # fmt: skip
    path = str(tiff.write(tmp_path / "x.tif"))
    tags = tiff_tags.read_tags(path)
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        assert tags.dtype == page.dtype == np.dtype("i4")
        assert (tags.rows, tags.columns, tags.samples) == (40, 33, 3)
        assert (tags.compression, tags.predictor, tags.planar) == (5, 2, 2)
        assert tags.chunk_shape == (page.tilelength, page.tilewidth)
        assert tags.chunks == len(page.dataoffsets) == 18
        assert tags.offsets.tolist() == list(page.dataoffsets)
        assert tags.byte_counts.tolist() == list(page.databytecounts)
    assert tags.sparse
    assert tags.nodata == b"-7\0"


@pytest.mark.parametrize("cut", [0, 1, 3, 7, 9, 30, 100])
def test_tags_of_a_torn_file(tmp_path, cut):
    data = strips(ramp(9, 9), 3).data()
    (tmp_path / "x.tif").write_bytes(data[:cut])
    try:
        tags = tiff_tags.read_tags(str(tmp_path / "x.tif"))
    except tiff_tags.TagError:
        return
    assert tags.offsets is None or tags.chunks == 3


def test_tags_that_make_no_sense(tmp_path):
    for number, value in ((256, (LONG, [0])), (277, (SHORT, [0])), (257, (5, [1]))):
        tiff = strips(ramp(9, 9))
        tiff.tags[number] = value if value[0] != 5 else (2, b"9\0")
        with pytest.raises(tiff_tags.TagError):
            tiff_tags.read_tags(str(tiff.write(tmp_path / "x.tif")))
