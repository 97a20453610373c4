"""What is to be closed: by a with statement, whatever ends it."""

from typing import Self


class Closing:
    """A base for classes whose ``close`` gives back what they hold."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back what is held."""
        raise NotImplementedError
