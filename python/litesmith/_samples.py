"""Samples as people have them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Mapping, Optional, Protocol, Sequence, Union, runtime_checkable

# Where it is needed: an import of litesmith alone is to take no time.
if TYPE_CHECKING:
    import numpy as np

Sample = Union[Mapping[str, Any], Sequence[Any], Any]
"""Arrays by the names of the inputs, or in their order, or one array. What NumPy can take for an array will do, tensors of torch
among them."""


@runtime_checkable
class Reader(Protocol):
    """Onnxruntime's ``CalibrationDataReader``."""

    def get_next(self) -> Optional[Mapping[str, Any]]: ...


Samples = Union[str, "os.PathLike[str]", Iterable[Sample], Callable[[], Iterable[Sample]], Reader]
"""A folder or file, anything that can be iterated over (a list, a generator, a ``DataLoader``), a function that gives such a thing
(``representative_dataset``), or a reader with ``get_next()``."""

Labels = Union[Sequence[int], "np.ndarray[Any, Any]"]
"""The class of each sample."""

NamedArrays = list[list[tuple[str, "np.ndarray[Any, Any]"]]]
OrderedArrays = list[list["np.ndarray[Any, Any]"]]


def iterate(samples: Samples) -> Iterator[Sample]:
    """The samples one by one."""
    import numpy as np

    if isinstance(samples, Reader):
        while (sample := samples.get_next()) is not None:
            yield sample
        return
    if isinstance(samples, np.ndarray):
        raise TypeError("samples are a list of arrays, one for each run; one array could be one sample or many: [x] is one")
    if callable(samples) and not isinstance(samples, Iterable):
        samples = samples()
    if isinstance(samples, (str, os.PathLike)) or not isinstance(samples, Iterable):
        raise TypeError(f"samples are a path, an iterable, a function or a reader, not {type(samples).__name__}")
    yield from samples


def arrays(samples: Samples) -> Union[NamedArrays, OrderedArrays]:
    """All samples, each as arrays by name or in order.

    Arrays of lists and tuples share memory with what was given, where they are contiguous. Generators and loaders may fill one buffer
    again and again: what they give is copied.
    """
    own = not isinstance(samples, (list, tuple))
    named: NamedArrays = []
    ordered: OrderedArrays = []
    for sample in iterate(samples):
        if isinstance(sample, Mapping):
            named.append([(str(name), array(value, own)) for name, value in sample.items()])
        elif isinstance(sample, (tuple, list)):
            ordered.append([array(value, own) for value in sample])
        else:
            ordered.append([array(sample, own)])
    if named and ordered:
        raise TypeError("samples are dicts or sequences of arrays, not some of each")
    return named or ordered


def array(value: Any, copy: bool = False) -> np.ndarray[Any, Any]:
    """A contiguous array in this machine's order of bytes; it shares memory with what is one already, unless asked to ``copy``."""
    import numpy as np

    if hasattr(value, "detach"):
        value = value.detach().cpu()
    taken = np.asarray(value)
    plain = np.asarray(taken, dtype=taken.dtype.newbyteorder("="), order="C")
    return plain.copy() if copy and np.may_share_memory(plain, taken) else plain


def integers(values: Any) -> list[int]:
    """Labels, of whatever holds integers."""
    taken = array(values)
    if taken.ndim != 1 or taken.dtype.kind not in "iu":
        raise TypeError(f"labels are integers, one for each sample, not {taken.dtype} of shape {taken.shape}")
    return [int(value) for value in taken]
