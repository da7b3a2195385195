"""Conversion."""

from __future__ import annotations

import json
import os
from typing import Any, Literal, Mapping, Optional, Sequence, Union

from litesmith import _litesmith
from litesmith._model import Model
from litesmith._progress import Listener, Shown
from litesmith._recipe import Recipe
from litesmith._samples import NamedArrays, OrderedArrays, Samples, arrays
from litesmith._source import OnnxModel, source

IoType = Literal["float32", "int8", "uint8", "int16"]
Target = Literal["litert", "tflm", "ethos-u55", "ethos-u65", "ethos-u85", "edgetpu", "gpu", "xnnpack"]
Quantize = Literal["none", "float16", "dynamic", "weights", "int8", "int16x8"]
Method = Literal["auto", "minmax", "average", "percentile", "entropy", "mse"]


def convert(
    model: OnnxModel,
    *,
    quantize: Quantize = "none",
    calibration: Optional[Samples] = None,
    calibration_method: Method = "auto",
    percentile: float = 99.999,
    recipe: Union[Recipe, str, None] = None,
    weight_bits: Optional[Literal[8, 4]] = None,
    granularity: Literal["channel", "tensor"] = "channel",
    block_size: Optional[Literal[32, 64, 128, 256]] = None,
    symmetric: bool = False,
    io_types: Union[IoType, Mapping[str, IoType]] = "float32",
    target: Target = "litert",
    account: bool = False,
    shapes: Optional[Mapping[str, Sequence[int]]] = None,
    batch: Optional[int] = None,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    allow_custom: Sequence[str] = (),
    channels_last: Union[bool, Sequence[str]] = False,
    float64: Literal["keep", "cast"] = "keep",
    unroll: Optional[int] = None,
    progress: Union[bool, Listener, None] = None,
) -> Model:
    """Converts an ONNX model to ``.tflite``.

    Args:
        model: A path (external data lies beside it), the bytes of a file, an ``onnx.ModelProto``, or what
            ``torch.onnx.export(..., dynamo=True)`` gives.
        quantize: How numbers are stored and computed. ``int8`` and ``int16x8`` need ``calibration``.
        calibration: Samples: a folder of ``.npz`` or ``.npy`` files, or an iterable, function or reader of samples. A sample holds
            arrays of the model's input shapes and dtypes (floats of another width, and int32 for int64, will do), by name in a
            dict, in the model's order in a tuple or list, or alone.
        calibration_method: How ranges follow from what calibration saw.
        percentile: Percent of the elements that ``percentile`` keeps.
        recipe: Rules for some of the operators, or the name of a recipe of ai-edge-quantizer; ``quantize`` holds for all others.
        weight_bits: Bits of the weights: 8, or 4, which is usual with ``block_size``.
        granularity: What shares a scale: an output channel or the whole tensor.
        block_size: One scale for so many 4-bit weights.
        symmetric: Zero points of 0 for 8-bit activations.
        io_types: What inputs and outputs that hold real numbers are stored as: all of them, or single ones by name.
        target: What the file is made for: what it lacks is written otherwise, or refused.
        account: Compare the quantized model with the float one on up to 16 samples, for the report.
        shapes: Extents of inputs that are dynamic.
        batch: Size of the batch: of dynamic extents of inputs whose name contains "batch", or else stand first.
        inputs: Values of the model to begin at instead of its inputs.
        outputs: Values of the model to end at instead of its outputs.
        allow_custom: Operators (``Op`` or ``domain::Op``) that become custom ones of that name.
        channels_last: ``True`` for all inputs and outputs of rank 3 and more, or their names.
        float64: Whether float64 inputs and outputs stay or become float32.
        unroll: Loops of up to so many steps are written out.
        progress: ``False`` for no bar; or a function that is told the stage, the steps done, and all steps. By default a bar where
            tqdm is installed and standard error is a terminal.

    Returns:
        The converted model: save it, run it, compare it, read its report.

    Raises:
        UnsupportedError: Nodes can't be expressed: all of them are listed.
        ModelError: What was given is no sound ONNX model.
        OptionsError: A setting does not fit the model or another setting.
        CalibrationError: A sample does not fit the model or can't be run.
        OSError: The file can't be read.
    """
    given = source(model)
    options: dict[str, Any] = {
        "quantize": quantize,
        "calibration_method": {"percentile": percentile} if calibration_method == "percentile" else calibration_method,
        "weights": {
            "bits": weight_bits or (4 if block_size else 8),
            "granularity": granularity,
            "block_size": block_size,
        },
        "symmetric": symmetric,
        "io_types": {"all": io_types} if isinstance(io_types, str) else {"by_name": dict(io_types)},
        "target": target,
        "recipe": str(recipe) if recipe is not None else None,
        "account": account,
        "shapes": {name: list(dims) for name, dims in (shapes or {}).items()},
        "batch": batch,
        "inputs": list(inputs),
        "outputs": list(outputs),
        "allow_custom": list(allow_custom),
        "channels_last": _channels_last(channels_last),
        "float64": float64,
        "unroll": unroll,
    }
    samples: Union[str, NamedArrays, OrderedArrays, None] = None
    if isinstance(calibration, (str, os.PathLike)):
        samples = os.fspath(calibration)
    elif calibration is not None:
        samples = arrays(calibration)
    with Shown(progress) as listener:
        converted = _litesmith.convert(given, json.dumps(options), samples, listener)
    return Model(converted, model)


def _channels_last(which: Union[bool, Sequence[str]]) -> Any:
    if isinstance(which, bool):
        return "all" if which else "keep"
    if isinstance(which, str):
        raise TypeError('channels_last is True, or a list of names: ["x"]')
    return {"names": list(which)} if which else "keep"
