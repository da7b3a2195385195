"""What conversion and quantization are asked alike, as the native module takes it."""

from __future__ import annotations

import os
from typing import Any, Literal, Mapping, Optional, Sequence, TypedDict, Union

from litesmith._recipe import Recipe
from litesmith._samples import Labels, NamedArrays, OrderedArrays, Samples, arrays, integers

Target = Literal["litert", "tflm", "ethos-u55", "ethos-u65", "ethos-u85", "edgetpu", "gpu", "xnnpack"]
IoType = Literal["float32", "int8", "uint8", "int16"]
Quantize = Literal["none", "float16", "dynamic", "weights", "int8", "int16x8"]
Method = Literal["auto", "minmax", "average", "percentile", "entropy", "mse"]
Repair = Literal["equalize", "smooth", "clip", "round", "bias"]
Repairs = Union[Literal["none", "auto"], Sequence[Repair]]
Fallback = Literal["float", "int16x8"]


class Images(TypedDict, total=False):
    """How pictures in a folder of samples become numbers: ``(pixel - mean) / std``, pixels being 0 to 1."""

    mean: Sequence[float]
    """One number for each channel, or one for all."""
    std: Sequence[float]
    resize: Union[Literal["stretch"], Mapping[Literal["crop"], float]]
    """What becomes of pictures of another size: ``{"crop": 0.875}`` takes so much of each side, around the middle. Refused if left out."""


def settings(
    *,
    quantize: Quantize,
    calibration_method: Method,
    percentile: float,
    recipe: Union[Recipe, str, None],
    weight_bits: Optional[Literal[8, 4]],
    granularity: Literal["channel", "tensor"],
    block_size: Optional[Literal[32, 64, 128, 256]],
    symmetric: bool,
    io_types: Union[IoType, Mapping[str, IoType]],
    repair: Repairs,
    min_sqnr: Optional[float],
    max_drop: Optional[float],
    labels: Optional[Labels],
    fallback: Fallback,
    account: bool,
    images: Optional[Images],
) -> dict[str, Any]:
    """The fields of the crate's ``Options`` that quantization is about."""
    return {
        "quantize": quantize,
        "calibration_method": {"percentile": percentile} if calibration_method == "percentile" else calibration_method,
        "weights": {
            "bits": weight_bits or (4 if block_size else 8),
            "granularity": granularity,
            "block_size": block_size,
        },
        "symmetric": symmetric,
        "io_types": {"all": io_types} if isinstance(io_types, str) else {"by_name": dict(io_types)},
        "recipe": str(recipe) if recipe is not None else None,
        "repairs": repair if isinstance(repair, str) else ",".join(repair) or "none",
        "search": _search(min_sqnr, max_drop, labels, fallback),
        "account": account,
        "images": images or {},
    }


def shaping(
    *,
    target: Target,
    shapes: Optional[Mapping[str, Sequence[int]]],
    batch: Optional[int],
    inputs: Sequence[str],
    outputs: Sequence[str],
    allow_custom: Sequence[str],
    channels_last: Union[bool, Sequence[str]],
    float64: Literal["keep", "cast"],
    unroll: Optional[int],
) -> dict[str, Any]:
    """The fields of the crate's ``Options`` that change the float graph: statistics belong to one choice of them."""
    return {
        "target": target,
        "shapes": {name: list(dims) for name, dims in (shapes or {}).items()},
        "batch": batch,
        "inputs": list(inputs),
        "outputs": list(outputs),
        "allow_custom": list(allow_custom),
        "channels_last": _channels_last(channels_last),
        "float64": float64,
        "unroll": unroll,
    }


def _channels_last(which: Union[bool, Sequence[str]]) -> Any:
    if isinstance(which, bool):
        return "all" if which else "keep"
    if isinstance(which, str):
        raise TypeError('channels_last is True, or a list of names: ["x"]')
    return {"names": list(which)} if which else "keep"


def _search(
    min_sqnr: Optional[float], max_drop: Optional[float], labels: Optional[Labels], fallback: Fallback
) -> Optional[dict[str, Any]]:
    if min_sqnr is not None and max_drop is not None:
        raise TypeError("min_sqnr and max_drop are two goals: give one of them")
    if (max_drop is None) != (labels is None):
        raise TypeError("max_drop counts labels: give both or neither")
    if min_sqnr is None and max_drop is None:
        return None
    goal = {"sqnr": float(min_sqnr)} if min_sqnr is not None else {"drop": float(max_drop or 0)}
    into = "none" if fallback == "float" else fallback
    return {"goal": goal, "fallback": into, "labels": integers(labels) if labels is not None else []}


def samples(given: Optional[Samples]) -> Union[str, NamedArrays, OrderedArrays, None]:
    """Samples as the native module takes them."""
    if given is None:
        return None
    if isinstance(given, (str, os.PathLike)):
        return os.fspath(given)
    return arrays(given)
