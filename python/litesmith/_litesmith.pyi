"""The native module. What it takes is checked and dressed up by the modules beside it."""

from typing import Any, Callable, Optional, Sequence, TypedDict, Union

import numpy as np

_Array = np.ndarray[Any, Any]
_Samples = Union[str, Sequence[Sequence[tuple[str, _Array]]], Sequence[Sequence[_Array]]]

__version__: str
recipes: list[str]

class _Operator(TypedDict):
    domain: str
    op: str
    versions: list[int]
    accepts: str
    produces: str
    refuses: str

class Converted:
    def save(self, path: str) -> None: ...
    def data(self) -> bytes: ...
    def summary(self) -> str: ...
    def report(self) -> str: ...
    def recipe(self) -> Optional[str]: ...
    def save_account(self, path: str) -> None: ...
    def c_array(self, name: str) -> tuple[str, str]: ...

class Session:
    def __init__(self, file: bytes, library: Optional[str], threads: int, xnnpack: bool) -> None: ...
    def inputs(self) -> list[tuple[str, str, list[int]]]: ...
    def run(self, inputs: Sequence[tuple[str, _Array]]) -> list[tuple[str, tuple[str, list[int], bytearray]]]: ...

def command(arguments: Sequence[str]) -> int: ...
def operators() -> list[_Operator]: ...
def convert(
    source: Union[str, bytes],
    options: str,
    calibration: Optional[_Samples],
    evaluate: Optional[_Samples],
    listener: Optional[Callable[[str, int, int], object]],
) -> Converted: ...
def quantize(
    source: Union[str, bytes],
    options: str,
    calibration: Optional[_Samples],
    evaluate: Optional[_Samples],
    listener: Optional[Callable[[str, int, int], object]],
) -> Converted: ...
def recipe(text: str) -> str: ...
def inspect(file: bytes) -> tuple[str, str]: ...
def check(file: bytes, target: str) -> tuple[str, str]: ...
def verify(
    file: str,
    against: str,
    inputs: Optional[str],
    labels: Optional[Sequence[int]],
    expected: Optional[str],
    runtime: Optional[str],
    xnnpack: bool,
) -> tuple[list[tuple[str, float, float, int, int]], int, str, Optional[tuple[int, int, int]]]: ...
