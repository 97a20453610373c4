"""Names that strangers have chosen, for people to read."""


def plain(text: str) -> str:
    """Write a text so that any terminal takes it, and none is commanded by it."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )
