"""What a model reads of a row: the levels of the target item, and how much of the history."""

LEVELS = 20  # popularity levels (likes_level, views_level), 0..19; this release uses 1..10, and 0 is padding
MAX_LEN = 64  # most recent history items that are kept of a row, as in the challenge's baseline
