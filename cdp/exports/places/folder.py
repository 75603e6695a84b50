"""A folder on the platform's own machine, below the one that its operator names; one mounted from elsewhere, say."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from cdp.exports.places.place import CHECK, CHECK_NAME, KeepOn, PlaceError, blocks, checked_name, checked_prefix


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderPlace:
    """``root`` is the operator's; ``path`` leads to a folder below it, through no link."""

    root: Path
    path: str

    def put(self, name: str, file: Path, *, content_type: str, sha256: str, keep_on: KeepOn) -> None:
        checked_name(name)
        part = f".{name}.{uuid4().hex[:8]}.part"
        with _said(), self._opened() as folder:
            try:
                handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o640, dir_fd=folder)
                with os.fdopen(handle, "wb") as target:
                    for block in blocks(file, keep_on):
                        target.write(block)
                    target.flush()
                    os.fsync(target.fileno())
                os.replace(part, name, src_dir_fd=folder, dst_dir_fd=folder)
                os.fsync(folder)
            finally:
                _remove(part, folder)

    def check(self) -> None:
        with _said(), self._opened() as folder:
            name = f".{CHECK_NAME}.{uuid4().hex[:8]}"
            handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o640, dir_fd=folder)
            try:
                os.write(handle, CHECK)
            finally:
                os.close(handle)
                _remove(name, folder)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The folder, each part of the way to it made if it isn't there, and none of it a link."""
        handle = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for part in checked_prefix(self.path, pointer="/path").split("/"):
                if part:
                    with suppress(FileExistsError):
                        os.mkdir(part, 0o750, dir_fd=handle)
                    inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
                    os.close(handle)
                    handle = inner
            yield handle
        finally:
            os.close(handle)


def _remove(name: str, folder: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


@contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise PlaceError("no_room", "There is no room left.") from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise PlaceError("not_allowed", "The platform may not write there.") from None
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise PlaceError("not_found", "The folder isn't there, or is no folder of its own.") from None
        raise
