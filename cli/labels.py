"""Which class is each image of? A CSV file of file names and class numbers.

read_labels(path, ["cat.png"], 1000)      # (281,)
"""

from __future__ import annotations

import stat
from pathlib import Path

__all__ = ["read_labels"]

_DIGITS = 9  # longer numbers are no class of any network, and slow to read


def read_labels(path: Path | None, names: list[str], classes: int) -> tuple[int, ...] | None:
    """Reads the class of each image: lines of ``file name,number``, a heading allowed.

    Args:
        path: The file; None for no labels.
        names: File names of the images; folders before a name in the file do not count.
        classes: How many the network tells apart; the first is 0.

    Raises:
        UsageError: There is no such file, it has no line for an image, or a class the network
            does not have.
        UnsafeFile: It is no regular file.
        MalformedFile: A line is none of these, or one file has two classes.
    """
    if path is None:
        return None
    import csv

    from fingerprint.errors import MalformedFile, UnsafeFile, UsageError

    known: dict[str, int] = {}
    try:
        # A FIFO would block for ever, a device would never end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnsafeFile(f"--labels: expected a regular file, {path} is none")
        with path.open(newline="", encoding="utf-8-sig") as stream:
            for number, row in enumerate(csv.reader(stream)):
                if len(row) >= 2 and _is_number(row[1].strip()):
                    name = Path(row[0].strip()).name
                    if known.setdefault(name, int(row[1])) != int(row[1]):
                        raise MalformedFile(
                            f"{path}: line {number + 1}: a second class for {name}; folders do "
                            "not count, so give each image a name of its own"
                        )
                elif row and number:
                    raise MalformedFile(
                        f"{path}: line {number + 1}: expected a file name and a class number"
                    )
    except FileNotFoundError as error:
        raise UsageError(f"--labels: there is no file {path}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise MalformedFile(f"{path}: expected lines of text; write it as CSV") from error
    missing = next((name for name in names if name not in known), None)
    if missing is not None:
        raise UsageError(
            f"--labels: expected a line for every image, {path} has none for {missing}"
        )
    strange = next((name for name in names if known[name] >= classes), None)
    if strange is not None:
        raise UsageError(
            f"--labels: expected classes from 0 to {classes - 1}, {path} has {known[strange]} "
            f"for {strange}; count from 0"
        )
    return tuple(known[name] for name in names)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS
