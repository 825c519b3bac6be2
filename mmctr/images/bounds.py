"""How long the listing of a source may be, whoever made it."""

MAX_HEADERS = 2_000_000
MAX_NAME = 32_767  # characters, as in Windows; RAR itself allows 2,048
MAX_NAMES = 1 << 28  # characters of all names together


class UnboundedError(Exception):
    """A listing would take more time or memory than any source of images needs; the text goes on from "it"."""


class Bounds:
    """Counts what a listing has, and raises UnboundedError where that is too much."""

    def __init__(self) -> None:
        self._headers = self._characters = 0

    def add_header(self) -> None:
        """One header more, of a member or of something else."""
        self._headers += 1
        if self._headers > MAX_HEADERS:
            raise UnboundedError(f"has more than {MAX_HEADERS:,} headers")

    def add_name(self, name: str) -> None:
        """The name of a member."""
        self._characters += len(name)
        if len(name) > MAX_NAME or self._characters > MAX_NAMES:
            raise UnboundedError(f"has a name of {len(name):,} characters, or too many long ones")
