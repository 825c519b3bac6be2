"""What the library is told of the image archive, and the settings that its errors speak of by its own names."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypedDict

from mmctr.common.errors import InputError
from tasks.settings.sections import ExtractConfig, archive_password

SETTINGS = {
    "`password`": "comes from the environment variable that the setting extract.password_env names",
    "`max_member_bytes`": "is the setting extract.max_member_mib",
    "`max_total_bytes`": "is the setting extract.max_total_gib",
}


class ArchiveLimits(TypedDict):
    """Parameters of `mmctr.images.extract`."""

    password: str | None
    max_member_bytes: int
    max_total_bytes: int


def archive_limits(config: ExtractConfig) -> ArchiveLimits:
    """The settings as the library takes them.

    Raises:
        InputError: the password's environment variable is not set.
    """
    return ArchiveLimits(
        password=archive_password(config),
        max_member_bytes=config.max_member_mib << 20,
        max_total_bytes=config.max_total_gib << 30,
    )


@contextmanager
def settings_named() -> Iterator[None]:
    """Add to an error that speaks of the library's parameters the settings that they come from."""
    try:
        yield
    except InputError as error:
        named = [f"{name} {setting}" for name, setting in SETTINGS.items() if name in str(error)]
        if not named:
            raise
        raise InputError(f"{error} ({'; '.join(named)})") from error
