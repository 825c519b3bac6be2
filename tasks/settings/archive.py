"""The settings of the images' source as parameters of the library, and what a run finds out about that source."""

import os
from typing import Annotated, TypedDict

from mmctr.common.errors import InputError
from mmctr.common.text import shown_value
from mmctr.images.naming import Naming
from mmctr.images.source import Kind
from tasks.settings.base import Component, Section
from tasks.settings.items import ExtractConfig


class ImageSource(Section):
    """How images are read: found out by a run, and no setting of a user's. The code of its kind counts, no other's."""

    kind: Annotated[Kind, Component("mmctr.images.sources")] = "rar"
    names: Naming = "integer"


class FolderLimits(TypedDict):
    """Parameters of `mmctr.images.in_place`."""

    max_member_bytes: int
    max_total_bytes: int


class ArchiveLimits(FolderLimits):
    """Parameters of `mmctr.images.extract`."""

    password: str | None


def archive_limits(config: ExtractConfig) -> ArchiveLimits:
    """The settings as parameters of the library.

    Raises:
        InputError: the password's environment variable is not set.
    """
    return ArchiveLimits(password=archive_password(config), **folder_limits(config))


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


def folder_limits(config: ExtractConfig) -> FolderLimits:
    """The settings that count for a folder, which has no password."""
    return FolderLimits(max_member_bytes=config.max_member_mib << 20, max_total_bytes=config.max_total_gib << 30)
