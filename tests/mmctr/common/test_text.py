"""What is shown of text that came from outside: never more than a screen, and nothing that a terminal obeys."""

import time

import pytest

from mmctr.common.errors import InputError
from mmctr.common.text import first_line, shown_names, shown_value


@pytest.mark.parametrize(
    "message", ["x" * 100_000, "line\n" * 5000, "word " * 50_000, "\x1b[2J" * 1000, "\ud800" * 3000, "\n" * 10_000]
)
def test_no_message_is_longer_than_a_screen(message: str) -> None:
    text = str(InputError(f"the rule: {message}\nthe remedy"))
    assert len(text) <= 2000
    assert len(text.splitlines()) <= 24
    assert text.startswith("the rule: ")
    assert text.endswith("the remedy")
    assert text.replace("\n", "").isprintable()
    assert str(InputError(text)) == text
    text.encode()


def test_a_value_of_gigabytes_is_not_written_out() -> None:
    began = time.monotonic()
    assert shown_value(bytearray(1 << 30)).endswith("...")
    assert time.monotonic() - began < 2


def test_what_fits_is_shown_as_it_is() -> None:
    text = "BASE_PATH must be a folder; /data/été/数据 is none\n  use another"
    assert str(InputError(text)) == text
    assert shown_names([]) == "none"
    assert shown_names(["a", "b\x1b"]) == "a, b\\x1b"
    assert first_line(ValueError("\n\x1b[2Jx\nmore")) == "\\x1b[2Jx"
