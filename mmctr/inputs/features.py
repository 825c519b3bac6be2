"""Popularity levels of an item (`likes_level`, `views_level`)."""

LEVELS = 20  # rows of the model's level tables; this release uses 1..10, and 0 is padding
