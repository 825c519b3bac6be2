"""How much the images of a source may take, unless the caller says otherwise. Imports nothing."""

MAX_MEMBER_BYTES = 64 << 20  # of an image
MAX_TOTAL_BYTES = 256 << 30  # of all members together
