"""A training that a search ends before its end: neither a failure nor a result."""


class PrunedError(Exception):
    """The trial needs no further epoch; the message says why."""
