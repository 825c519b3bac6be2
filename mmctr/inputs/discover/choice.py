"""A setting that was chosen, and why: what is not certain is marked."""

from dataclasses import dataclass

Value = str | tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """A line of the settings.

    Attributes:
        key: of the section.
        value: that was chosen; None where nothing could be chosen.
        why: the evidence, in a sentence.
        is_certain: whether name or content leave no doubt.
        others: values that it may be instead, each with its evidence.
    """

    key: str
    value: Value | None
    why: str
    is_certain: bool = True
    others: tuple[tuple[Value, str], ...] = ()


def share_of(values: frozenset[str], among: frozenset[str]) -> float:
    """Of different values, how many are among others; 0 where there are none."""
    return len(values & among) / len(values) if values else 0.0


def per_cent(share: float) -> str:
    """A share as per cent; what is not all never reads as 100, and what is not nothing never as 0."""
    if 0 < share < 0.01:
        return "under 1 %"
    return f"{min(share, 0.99):.0%}".replace("%", " %") if share < 1 else "100 %"
