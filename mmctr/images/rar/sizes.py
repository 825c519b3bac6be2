"""How much an archive may unpack to, unless the caller says otherwise. Imports nothing."""

MAX_MEMBER_BYTES = 64 << 20  # of an image
MAX_TOTAL_BYTES = 256 << 30  # of all members together
