"""What a job may report besides channels and progress: files, documents, steps, images, actions.

Each is a thin door: what is behind it is loaded when a script first uses it, so that a script that does not pays nothing.
"""

from __future__ import annotations

from bough._journal import Journal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bough._files import Files


class Surface:
    """The part of `bough.Job` that is not needed by every script.

    Args:
        attempt_dir: The attempt's folder; None where nothing is recorded.
        journal: Where everything is reported.
        limits: Of job.json.
    """

    def __init__(self, attempt_dir: str | None, journal: Journal, limits: dict[str, object]) -> None:
        self._attempt_dir = attempt_dir
        self._journal = journal
        self._limits_of_files = limits
        self._files_: Files | None = None
        self._base: str | None = None  # what paths are relative to; None: the working folder

    # -- files ------------------------------------------------------------------------------------------------

    def commit_file(self, path: object, git_path: str | None = None, title: str | None = None) -> int:
        """Hand in a file, or a folder with all it holds. Its content is kept as it is now.

        Args:
            path: Of the file or folder.
            git_path: What it is called in the job; None: its path from the working folder, without leading ``../``.
            title: For people.

        Returns:
            How many files were handed in. What could not be is said in the log.
        """
        return self._files.hand_in(path, git_path, title)

    def add_files(self, directory: object) -> int:
        """Hand in every file of a folder; returns how many. See `commit_file`."""
        return self._files.hand_in(directory)

    def file_list(self) -> list[str]:
        """Return the names of what this process handed in, in that order."""
        return list(self._files.names)

    @property
    def _files(self) -> Files:
        if self._files_ is None:
            from bough._files import Files

            self._files_ = Files(self._attempt_dir, self._journal, self._limits_of_files, self._base)
        return self._files_
