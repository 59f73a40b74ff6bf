"""Which class is each image of? A CSV file of file names and class numbers.

read_labels(path, ["cat.png"])      # (281,)
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["read_labels"]


def read_labels(path: Path | None, names: list[str]) -> tuple[int, ...] | None:
    """Reads the class of each image: lines of ``file name,number``, a heading allowed.

    Args:
        path: The file; None for no labels.
        names: File names of the images; folders before a name in the file do not count.

    Raises:
        UsageError: There is no such file, or it has no line for an image.
        MalformedFile: A line is none of these.
    """
    if path is None:
        return None
    import csv

    from fingerprint.errors import MalformedFile, UsageError

    known: dict[str, int] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            for number, row in enumerate(csv.reader(stream)):
                if len(row) >= 2 and row[1].strip().isascii() and row[1].strip().isdigit():
                    known[Path(row[0].strip()).name] = int(row[1])
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
    return tuple(known[name] for name in names)
