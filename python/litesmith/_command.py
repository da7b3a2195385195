"""The ``litesmith`` command."""

from __future__ import annotations

import os
import signal
import sys

from litesmith import _litesmith, _runtime


def main() -> None:
    # Nobody asks Python for signals while the command runs.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    library = _runtime.library()
    if library:
        os.environ[_runtime.VARIABLE] = library
    sys.exit(_litesmith.command(["litesmith", *sys.argv[1:]]))
