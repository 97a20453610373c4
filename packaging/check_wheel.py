"""Hold wheels to what is promised of them: python packaging/check_wheel.py WHEEL..."""

import json
import platform
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PINS = json.loads((Path(__file__).parent / "sources.json").read_text(encoding="utf-8"))
MOST = 2_000_000  # bytes
LOAD = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from rs_tensor_encoder import _tiff
print(json.dumps(_tiff.versions() | {"file": os.path.abspath(_tiff.__file__)}))
"""
PLATFORMS = r"(manylinux|musllinux|macosx|win)\w*"


def faults(path):
    """What is wrong with a wheel, a line each."""
    if path.stat().st_size > MOST:
        yield f"{path.stat().st_size:,} bytes are more than {MOST:,}"
    if not re.search(rf"-cp311-abi3(-|[.]){PLATFORMS}", path.stem):
        yield "the name is not that of an abi3 wheel for CPython 3.11 and newer"
    with zipfile.ZipFile(path) as wheel:
        sizes = {info.filename: info.file_size for info in wheel.infolist()}
    version = path.name.split("-")[1]
    about = f"rs_tensor_encoder-{version}.dist-info/"
    for name in sizes:
        if not name.startswith(("rs_tensor_encoder/", about)):
            yield f"{name} does not belong there"
    compiled = [name for name in sizes if re.search(r"[.](so|pyd|dylib|dll)\b", name)]
    if [name.rpartition("/")[2] for name in compiled] not in (["_tiff.abi3.so"], ["_tiff.pyd"]):
        yield f"one extension of the stable ABI is expected, not {compiled}"
    for name, pin in PINS.items():
        if not sizes.get(f"{about}licenses/{name}/{pin['licence_file']}"):
            yield f"the licence of {name} is missing"
    if not sizes.get(f"{about}licenses/LICENSE"):
        yield "our own licence is missing"


def versions(path):
    """What the extension in a wheel says of its libraries; None where it cannot be loaded here."""
    kind = {"linux": "linux_", "darwin": "macosx_"}.get(sys.platform, "none")
    tag = path.stem.rpartition("-")[2]
    here = kind in tag and tag.endswith(platform.machine()) and sys.version_info >= (3, 11)
    # The C library that "manylinux" stands for.
    if not here or ("manylinux" in tag and platform.libc_ver()[0] != "glibc"):
        return None
    if "musllinux" in tag and platform.libc_ver()[0] == "glibc":
        return None
    with tempfile.TemporaryDirectory() as directory:
        with zipfile.ZipFile(path) as wheel:
            wheel.extractall(directory)
        # -S: an installed package of the same name must not be taken for it.
        words = [sys.executable, "-S", "-c", LOAD, directory]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    if not found.pop("file").startswith(directory):
        sys.exit(f"{path.name}: another extension was loaded in place of its own")
    return found


def differences(found):
    """In what the libraries of a wheel are not the pinned ones, a line each."""
    bundled = {name: found[name] for name in ("libtiff", "libdeflate")} | found["bundled"]
    for name in sorted(PINS.keys() | bundled.keys()):
        pinned = PINS.get(name, {"version": "not pinned"})["version"]
        if bundled.get(name) != pinned or not found["bundled"]:
            origin = "inside" if found["bundled"] else "of the system"
            yield f"{name} is {bundled.get(name)} ({origin}); pinned is {pinned}"


def main():
    """Check all wheels; 1 if one of them has a fault."""
    paths = [Path(word) for word in sys.argv[1:]]
    if not paths:
        sys.exit(__doc__)
    found = False
    for path in paths:
        libraries = versions(path)
        for fault in [*faults(path), *(differences(libraries) if libraries else ())]:
            found = True
            print(f"{path.name}: {fault}")
        loaded = "" if libraries else ", not loaded: made for another system or Python"
        print(f"{path.name}: {path.stat().st_size:,} bytes{loaded}")
    sys.exit(found)


if __name__ == "__main__":
    main()
