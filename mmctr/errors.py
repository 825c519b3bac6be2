"""The one error a user's mistake ends with."""


class InputError(Exception):
    """Something that the user gave cannot be used.

    The message is shown to the user as it is, without a stack trace, so it says three things in at most a few lines:
    the rule, the value that breaks it, and the remedy. Everything else that is raised is a fault of this project.
    """


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 160 characters of it, or the error's kind where it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:160]
