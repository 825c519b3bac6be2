"""The settings of the image archive as parameters of the library."""

import os
from typing import TypedDict

from mmctr.common.errors import InputError
from mmctr.common.text import shown_value
from tasks.settings.sections import ExtractConfig


class ArchiveLimits(TypedDict):
    """Parameters of `mmctr.images.extract`."""

    password: str | None
    max_member_bytes: int
    max_total_bytes: int


def archive_limits(config: ExtractConfig) -> ArchiveLimits:
    """The settings as parameters of the library.

    Raises:
        InputError: the password's environment variable is not set.
    """
    return ArchiveLimits(
        password=archive_password(config),
        max_member_bytes=config.max_member_mib << 20,
        max_total_bytes=config.max_total_gib << 30,
    )


def archive_password(config: ExtractConfig) -> str | None:
    """The archive's password, out of the environment variable that the configuration names.

    Raises:
        InputError: the variable is not set.
    """
    if config.password_env is None:
        return None
    password = os.environ.get(config.password_env)
    if password is None:
        raise InputError(
            f"extract.password_env names the environment variable {shown_value(config.password_env)}, which is not "
            "set; set it to the archive's password"
        )
    return password
