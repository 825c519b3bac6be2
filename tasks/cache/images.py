"""The source of images as an input of a run: what is referred to, and which code reads it."""

from pathlib import Path

from mmctr.images.find import files_of
from mmctr.images.in_place import index_folder
from mmctr.images.naming import Naming
from mmctr.images.source import kind_of
from tasks.cache.workspace import FolderRef, PartsRef, Workspace
from tasks.settings.archive import ImageSource, folder_limits
from tasks.settings.items import ExtractConfig

ImagesInput = PartsRef | FolderRef


def image_source(path: Path, *, names: Naming) -> ImageSource:
    """How the images at `path` are read, where `names` says what their names are.

    Raises:
        InputError: there are none, or it is no kind of source.
    """
    return ImageSource(kind=kind_of(path), names=names)


def images_ref(workspace: Workspace, path: Path, config: ExtractConfig) -> ImagesInput:
    """Reference to an archive in all its parts, or to a folder, as it is now; what has not changed is not read.

    Raises:
        InputError: it is no kind of source, or a folder that breaks a rule.
    """
    if kind_of(path) != "folder":
        return workspace.parts_ref(files_of(path))
    index = index_folder(path, names="path", memory=workspace.image_memory, **folder_limits(config))
    return FolderRef(path=workspace.relative(path), digest=index.digest)


def content_of(images: ImagesInput) -> str:
    """The digest of what an input holds."""
    return images.digest if isinstance(images, FolderRef) else images.sha256
