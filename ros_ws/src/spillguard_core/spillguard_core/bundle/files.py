"""Reading a bundle's files: plain files of bounded size, inside the bundle, or a `BundleError`."""

import os
import stat
from pathlib import Path

from spillguard_core.bundle.manifest import BundleError


def read_file(path: Path, limit: int, *, follow: bool = False) -> bytes:
    """All bytes of a regular file, at most `limit`.

    A link leads outside the bundle, so it is refused unless `follow` is set. A pipe or a device would block
    its reader: it is opened non-blocking and refused by its type. A file that grows while it is read is cut
    off at the same limit.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        if not follow and path.is_symlink():
            raise BundleError(f"{path.name} is a symbolic link; a bundle holds its files itself")
        with open(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise BundleError(f"{path.name} is no regular file")
            data = file.read(limit + 1)
    except OSError as error:
        raise BundleError(f"{path.name} cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise BundleError(f"{path.name} is larger than the {limit} bytes that are allowed")
    return data
