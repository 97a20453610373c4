"""Regular expressions of strangers: matched in time linear in the text, whatever they are.

Python's own engine goes back and forth, so that a few characters such as
``(a+)+b`` keep it busy for years. RE2 does not; in exchange it knows neither
look-arounds nor back references. It takes 5 us for what ``re`` does in 0.4
(measured), so the layouts that come with the package, whose expressions are
known to be harmless, keep to ``re``.
"""

import re2

from rs_tensor_encoder.errors import LayoutError, NotUtf8Error


class Expression:
    r"""A regular expression with the part of ``re.Pattern`` that layouts use.

    ``pattern`` is its text, ``groupindex`` the numbers of its named groups.

    Parameters
    ----------
    text : str
        The expression; classes such as ``\d`` are those of ASCII.

    Raises
    ------
    LayoutError
        If it is not valid, or would take too much memory.
    """

    def __init__(self, text: str) -> None:
        options = re2.Options()
        # It would print what it also raises.
        options.log_errors = False
        try:
            self._compiled = re2.compile(text, options)
        except (re2.error, UnicodeEncodeError) as error:
            reason = error.args[0]
            reason = reason.decode() if isinstance(reason, bytes) else str(error)
            raise LayoutError(
                f"not a regular expression: {reason} (RE2 matches it, which knows neither "
                "look-arounds nor back references, because they may take for ever)"
            ) from None
        self.pattern = text
        self.groupindex: dict[str, int] = dict(self._compiled.groupindex)

    def fullmatch(self, path: str) -> "Match | None":
        """Match all of a text.

        Raises
        ------
        NotUtf8Error
            If it matches but for bytes that are not UTF-8.
        """
        # Of bytes, because re2 takes three times as long for text.
        try:
            found = self._compiled.fullmatch(path.encode())
        except UnicodeEncodeError:
            if self._compiled.fullmatch(path.encode("utf-8", "replace")) is None:
                return None
            raise NotUtf8Error(path) from None
        if found is None:
            return None
        groups = found.groupdict() if self.groupindex else {}
        return Match(
            {name: None if text is None else text.decode() for name, text in groups.items()}
        )


class Match:
    """What an expression has found."""

    def __init__(self, groups: dict[str, str | None]) -> None:
        self._groups = groups

    def groupdict(self) -> dict[str, str | None]:
        """The named groups; None for those that took no part."""
        return self._groups
