"""Hold wheels to what is promised of them: python packaging/check_wheel.py WHEEL..."""

import json
import re
import sys
import zipfile
from pathlib import Path

PINS = json.loads((Path(__file__).parent / "sources.json").read_text(encoding="utf-8"))
MOST = 2_000_000  # bytes
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


def main():
    """Check all wheels; 1 if one of them has a fault."""
    paths = [Path(word) for word in sys.argv[1:]]
    if not paths:
        sys.exit(__doc__)
    found = False
    for path in paths:
        for fault in faults(path):
            found = True
            print(f"{path.name}: {fault}")
        print(f"{path.name}: {path.stat().st_size:,} bytes")
    sys.exit(found)


if __name__ == "__main__":
    main()
