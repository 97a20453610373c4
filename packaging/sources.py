"""Bring the sources of the bundled libraries to this machine.

    python packaging/sources.py archives DIRECTORY
    python packaging/sources.py debian DIRECTORY

`archives` downloads what sources.json names, and holds it to its sha256. `debian` takes the same
versions out of Debian's source packages, for where only a mirror of Debian can be reached (apt
holds them to Debian's signatures). Either directory then serves to build without a network:

    make wheel SOURCES=DIRECTORY
"""

import hashlib
import json
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

PINS = json.loads((Path(__file__).parent / "sources.json").read_text(encoding="utf-8"))

# Where a version may be: the newest ones are in Debian's unstable suite only.
SUITES = "bookworm trixie sid"


def archive_name(name, pin):
    """Name of a library's archive, as CMake looks for it."""
    ending = pin["url"][pin["url"].rindex(".tar.") :]
    return f"{name}-{pin['version']}{ending}"


def archives(directory, pins):
    """Download all archives that are not there yet, and check all."""
    for name, pin in pins.items():
        path = directory / archive_name(name, pin)
        if not path.exists():
            with urllib.request.urlopen(pin["url"]) as answer:  # noqa: S310
                path.write_bytes(answer.read())
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != pin["sha256"]:
            path.unlink()
            sys.exit(f"{pin['url']} has the sha256 {found}, not {pin['sha256']}: removed")
        print(path)


def upstream(version):
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
            target = directory / name
            target.mkdir(exist_ok=True)
            words = ["tar", "-xf", archive, "-C", target, "--strip-components=1"]
            subprocess.run(words, check=True)
            print(f"{target}: {pin['debian']} {version}")
    # Debian leaves this out, and with it the file that names what can be built there: nothing.
    (directory / "zlib/contrib/CMakeLists.txt").touch()


def choose(name, pin, here):
    """Debian's version of a source package that holds the pinned one."""
    done = subprocess.run(
        ["apt-cache", *here, "showsrc", "--only-source", pin["debian"]],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    there = sorted(set(re.findall(r"^Version: (.*)", done.stdout, re.MULTILINE)))
    for version in there:
        if upstream(version) == pin["version"]:
            return version
    sys.exit(f"{name} {pin['version']} is not in Debian ({SUITES}), which has {', '.join(there)}")


if __name__ == "__main__":
    ways = {"archives": archives, "debian": debian}
    if len(sys.argv) != 3 or sys.argv[1] not in ways:
        sys.exit(__doc__)
    Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
    try:
        ways[sys.argv[1]](Path(sys.argv[2]), PINS)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(str(error))
