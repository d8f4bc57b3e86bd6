"""Files that someone drops into a folder or a bucket: listed and read, never changed.

Here and in `land` only is Google's storage spoken to; a folder needs nothing but the system.
"""

from integration_assets.files.store import FileGoneError, FileRef, FileStore, is_files, open_files

__all__ = ["FileGoneError", "FileRef", "FileStore", "is_files", "open_files"]
