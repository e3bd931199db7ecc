"""A wheel on disk, so that tests install something and fetch nothing."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile


def tiny_wheel(folder: Path) -> str:
    """Return a requirement: the module `tiny_thing`, whose `ANSWER` is 42, and the command `tiny`, which prints it."""
    path = folder / "tiny_thing-1.0-py3-none-any.whl"
    info = "tiny_thing-1.0.dist-info"
    with ZipFile(path, "w") as archive:
        archive.writestr("tiny_thing.py", "ANSWER = 42\n\n\ndef tell():\n    print(ANSWER)\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/entry_points.txt", "[console_scripts]\ntiny = tiny_thing:tell\n")
        names = ("tiny_thing.py", *(f"{info}/{name}" for name in ("METADATA", "WHEEL", "entry_points.txt", "RECORD")))
        archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in names))
    return f"tiny-thing @ {path.as_uri()}"
