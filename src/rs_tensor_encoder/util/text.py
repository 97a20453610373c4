"""What people read: names that strangers have chosen, and numbers with what they count."""

import re


def plain(text: str) -> str:
    """Write a text so that any terminal takes it, and none is commanded by it."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    # A byte of a name that is not UTF-8 (PEP 383) is shown as that byte.
    if "\udc80" <= letter <= "\udcff":
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode()


def counted(number: int, noun: str) -> str:
    """Write a number and what it counts: "1 patch", "2,000 patches", "0 directories"."""
    if number != 1:
        noun = re.sub("[^aeiou]y$", lambda end: end[0][0] + "ie", noun)
        noun += "es" if noun.endswith("ch") else "s"
    return f"{number:,} {noun}"


def sized(size: float) -> str:
    """Write a number of bytes: "12 bytes", "3.4 kB", "5.6 MB"; GB from ten of them on."""
    if size < 1e3:
        return counted(round(size), "byte")
    unit, one = ("kB", 1e3) if size < 1e6 else ("MB", 1e6) if size < 1e10 else ("GB", 1e9)
    return f"{size / one:,.1f} {unit}"
