"""A bar for calibration, where tqdm is installed."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Callable, Optional, Union

Listener = Callable[[str, int, int], object]
"""Is called with the stage, the steps that are done and all steps of the stage, 0 where it has none."""


class Bar:
    """Shows calibration alone: all else is over in no time."""

    def __init__(self, tqdm: Any) -> None:
        self._tqdm = tqdm
        self._bar: Any = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage != "calibrate":
            self.close()
            return
        if self._bar is None and total:
            # None: not where standard error is no terminal.
            self._bar = self._tqdm(total=total, desc=stage, disable=None)
        if self._bar is not None:
            self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class Shown:
    """For the time of one conversion, what listens to its progress."""

    def __init__(self, progress: Union[bool, Listener, None]) -> None:
        self._bar: Optional[Bar] = None
        self.listener: Optional[Listener] = None
        if callable(progress):
            self.listener = progress
        elif progress is not False:
            try:
                from tqdm.auto import tqdm
            except ImportError:
                return
            self.listener = self._bar = Bar(tqdm)

    def __enter__(self) -> Optional[Listener]:
        return self.listener

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self._bar is not None:
            self._bar.close()
