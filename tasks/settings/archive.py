"""The settings of the image archive as the library takes them."""

from typing import TypedDict

from tasks.settings.sections import ExtractConfig, archive_password


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
