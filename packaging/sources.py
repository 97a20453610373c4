"""Bring the sources of the bundled libraries, and of CPython, to this machine.

    python packaging/sources.py upstream DIRECTORY
    python packaging/sources.py debian DIRECTORY

`upstream` downloads what sources.json and python.json name, and holds it to its sha256. `debian`
takes the same versions out of Debian's source packages, for where only a mirror of Debian can be
reached (apt holds them to Debian's signatures). Either way, each source is unpacked to a directory
of its name, to build without a network:

    make wheel single-file SOURCES=DIRECTORY
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
PINS = json.loads((HERE / "sources.json").read_text(encoding="utf-8"))
PYTHON = json.loads((HERE / "python.json").read_text(encoding="utf-8"))

# Where a version may be: the newest ones are in Debian's unstable suite only.
SUITES = "bookworm trixie sid"


def unpack(archive, target):
    """Unpack an archive that has one directory at its top, anew."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", target, "--strip-components=1"], check=True)


def upstream(directory, pins):
    """Download all archives that are not there yet, check and unpack all."""
    for name, pin in pins.items():
        ending = pin["url"][pin["url"].rindex(".tar.") :]
        path = directory / f"{name}-{pin['version']}{ending}"
        if not path.exists():
            with urllib.request.urlopen(pin["url"]) as answer:  # noqa: S310
                path.write_bytes(answer.read())
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != pin["sha256"]:
            path.unlink()
            sys.exit(f"{pin['url']} has the sha256 {found}, not {pin['sha256']}: removed")
        unpack(path, directory / name)
        print(f"{directory / name}: {pin['version']}")


def version_of(version):
    """Upstream's version in one of Debian's: 1:1.3.dfsg+really1.3.2-3 is 1.3.2."""
    version = version.partition(":")[2] or version
    version = version.rpartition("-")[0]
    return re.sub(r"[+.](dfsg|ds).*", "", version.rpartition("+really")[2])


def mirror():
    """Address of the mirror of Debian that apt uses here."""
    done = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    sites = [site for site in done.stdout.split() if site.endswith("/debian")]
    if not sites:
        sys.exit("apt knows no mirror of Debian here")
    return sites[0]


def debian(directory, pins):
    """Unpack the pinned versions from Debian's source packages, each to a directory of its name."""
    with tempfile.TemporaryDirectory() as scratch:
        listing = Path(scratch, "debian.sources")
        listing.write_text(
            f"Types: deb-src\nURIs: {mirror()}\nSuites: {SUITES}\nComponents: main\n"
            "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n",
            encoding="utf-8",
        )
        Path(scratch, "lists").mkdir()
        here = [
            *("-o", f"Dir::Etc::SourceList={listing}", "-o", "Dir::Etc::SourceParts=-"),
            *("-o", f"Dir::State::Lists={scratch}/lists", "-o", f"Dir::Cache={scratch}"),
            *("-o", "APT::Sandbox::User=root", "-qq"),
        ]
        subprocess.run(["apt-get", *here, "update"], check=True)
        for name, pin in pins.items():
            version = choose(name, pin, here)
            words = ["apt-get", *here, "source", "--tar-only", f"{pin['debian']}={version}"]
            subprocess.run(words, check=True, cwd=scratch)
            (archive,) = Path(scratch).glob(f"{pin['debian']}_*.orig.tar.*[!c]")
            unpack(archive, directory / name)
            if name == "zlib":
                # Debian leaves most of this out, and the file that says what to build there.
                (directory / name / "contrib/CMakeLists.txt").touch()
            print(f"{directory / name}: {pin['debian']} {version}")


def choose(name, pin, here):
    """Debian's version of a source package that holds the pinned one."""
    done = subprocess.run(
        ["apt-cache", *here, "showsrc", "--only-source", pin["debian"]],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    there = sorted(set(re.findall(r"^Version: (.*)", done.stdout, re.MULTILINE)))
    for version in there:
        if version_of(version) == pin["version"]:
            return version
    sys.exit(f"{name} {pin['version']} is not in Debian ({SUITES}), which has {', '.join(there)}")


if __name__ == "__main__":
    ways = {"upstream": upstream, "debian": debian}
    if len(sys.argv) != 3 or sys.argv[1] not in ways:
        sys.exit(__doc__)
    Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
    try:
        ways[sys.argv[1]](Path(sys.argv[2]), PINS | PYTHON)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(str(error))
