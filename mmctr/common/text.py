"""Text that came from outside, as it can be shown: cut, on a screen, without what a terminal would obey."""

from collections.abc import Sequence

SCREEN_LINES, SCREEN_LETTERS = 24, 2000
LAST_LINES, LAST_LETTERS = 4, 500  # of those, what is kept of the end, where the remedy is


def on_screen(message: str) -> str:
    """`message` without control characters but line ends, with the middle left out where a screen cannot hold it."""
    lines = message.split("\n")
    if len(lines) > SCREEN_LINES:
        first = SCREEN_LINES - LAST_LINES - 1
        lines = [*lines[:first], f"... {len(lines) - first - LAST_LINES} lines left out ...", *lines[-LAST_LINES:]]
    text = printable("\n".join(lines))
    if len(text) <= SCREEN_LETTERS:
        return text
    between = " ... "
    return f"{text[: SCREEN_LETTERS - LAST_LETTERS - len(between)]}{between}{text[-LAST_LETTERS:]}"


def printable(text: str) -> str:
    """All of `text`, with escapes in the place of what a terminal would obey or could not show; line ends stay."""
    return "\n".join(shown(line, limit=len(line)) for line in text.split("\n"))


def shown(text: str, *, limit: int = 200) -> str:
    """`text` without control characters or lone surrogates, cut to `limit` characters: a name may hold anything."""
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text[:limit])
    return safe if len(text) <= limit else safe + "..."


SHOWN_NAMES, SHOWN_NAME = 12, 40


def shown_names(names: Sequence[str]) -> str:
    """A list of names that came from outside, such as a table's columns: the first ones, each of them cut."""
    first = ", ".join(shown(name, limit=SHOWN_NAME) for name in names[:SHOWN_NAMES])
    more = len(names) - SHOWN_NAMES
    return (f"{first} and {more:,} more" if more > 0 else first) or "none"


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 160 characters of it, or the error's kind where it has none."""
    return shown(next(iter(str(error).strip().splitlines()), type(error).__name__), limit=160)


def shown_value(value: object, *, limit: int = 100) -> str:
    """`repr` of a value that came from outside, at most `limit` characters of it."""
    if isinstance(value, str | bytes | bytearray):
        value = value[: limit + 1]  # a checkpoint may hold gigabytes of them
    try:
        text = " ".join(repr(value).split())  # a tensor is shown in lines
    except (ValueError, RecursionError):  # a whole number of thousands of digits, lists within lists by the thousand
        return f"<{type(value).__name__} too large to show>"
    return text if len(text) <= limit else text[: limit - 3] + "..."
