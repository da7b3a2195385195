"""A small network for digits, trained with numpy: convolution, ReLU, max pooling, fully connected. Plain, or with fake quantization.

Trained with fake quantization (QAT), weights and activations are rounded to the 8-bit grid in the forward pass, and gradients go
through as if they were not (the straight-through estimator); so the network learns weights that survive rounding.
"""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHANNELS = 12

# The four elements of each 2 x 2 window of an [N, H, W, C] array.
CORNERS = [(slice(None), slice(y, None, 2), slice(x, None, 2)) for y in (0, 1) for x in (0, 1)]


class Network:
    def __init__(self, seed=0):
        random = np.random.default_rng(seed)
        normal = lambda shape, fan_in: (random.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32)
        self.weights = {
            "conv.weight": normal((CHANNELS, 9), 9),
            "conv.bias": np.zeros(CHANNELS, np.float32),
            "fc.weight": normal((10, CHANNELS * 13 * 13), CHANNELS * 13 * 13),
            "fc.bias": np.zeros(10, np.float32),
        }
        # Largest activation after each layer; known once the network has seen data.
        self.ranges = None

    def forward(self, images, quantized):
        """Logits [N, 10], and what the gradients need."""
        w = self.weights
        x = quantize_range(images, 0.0, 1.0) if quantized else images
        conv_weight = quantize_rows(w["conv.weight"]) if quantized else w["conv.weight"]
        fc_weight = quantize_rows(w["fc.weight"]) if quantized else w["fc.weight"]
        patches = np.lib.stride_tricks.sliding_window_view(x[:, 0], (3, 3), axis=(1, 2)).reshape(-1, 9)
        hidden = np.maximum(patches @ conv_weight.T + w["conv.bias"], 0).reshape(len(x), 26, 26, CHANNELS)
        if quantized:
            self.see("hidden", 0.0, hidden.max())
            hidden = quantize_range(hidden, *self.ranges["hidden"])
        pooled = np.maximum.reduce([hidden[corner] for corner in CORNERS])
        # ONNX flattens channels first.
        flat = pooled.transpose(0, 3, 1, 2).reshape(len(x), -1)
        logits = flat @ fc_weight.T + w["fc.bias"]
        if quantized:
            self.see("logits", logits.min(), logits.max())
            logits = quantize_range(logits, *self.ranges["logits"])
        return logits, (patches, hidden, pooled, flat, fc_weight)

    def see(self, name, low, high):
        """Widens a range to what was seen, at once; narrows it slowly."""
        if self.ranges is None:
            self.ranges = {}
        old = self.ranges.get(name, (0.0, 0.0))
        self.ranges[name] = (min(float(low), 0.99 * old[0]), max(float(high), 0.99 * old[1]))

    def gradients(self, images, labels, quantized):
        logits, (patches, hidden, pooled, flat, fc_weight) = self.forward(images, quantized)
        n = len(images)
        odds = np.exp(logits - logits.max(1, keepdims=True))
        delta = odds / odds.sum(1, keepdims=True)
        delta[np.arange(n), labels] -= 1
        delta /= n
        to_pooled = (delta @ fc_weight).reshape(n, CHANNELS, 13, 13).transpose(0, 2, 3, 1) * (pooled > 0)
        to_hidden = np.empty_like(hidden)
        for corner in CORNERS:
            to_hidden[corner] = (hidden[corner] == pooled) * to_pooled
        to_hidden = to_hidden.reshape(-1, CHANNELS)
        return {
            "conv.weight": to_hidden.T @ patches,
            "conv.bias": to_hidden.sum(0),
            "fc.weight": delta.T @ flat,
            "fc.bias": delta.sum(0),
        }

    def train(self, images, labels, epochs, rate, quantized=False, seed=1):
        """Adam on batches of 64, each moved by up to two pixels so that 5,000 digits teach more."""
        random = np.random.default_rng(seed)
        mean = {k: np.zeros_like(v) for k, v in self.weights.items()}
        square = {k: np.zeros_like(v) for k, v in self.weights.items()}
        step, steps = 0, epochs * (len(images) // 64)
        for _ in range(epochs):
            order = random.permutation(len(images))
            for start in range(0, len(order) - 63, 64):
                batch = order[start : start + 64]
                step += 1
                now = rate * (1 - step / (steps + 1))
                moved = np.roll(images[batch], random.integers(-2, 3, 2), (2, 3))
                for k, g in self.gradients(moved, labels[batch], quantized).items():
                    mean[k] += 0.1 * (g - mean[k])
                    square[k] += 0.001 * (g * g - square[k])
                    self.weights[k] -= now * (mean[k] / (1 - 0.9**step)) / (np.sqrt(square[k] / (1 - 0.999**step)) + 1e-8)
        return self

    def export(self, path, quantized=False):
        """Writes ONNX; `quantized` with the QuantizeLinear and DequantizeLinear that a QAT export has."""
        nodes, constants = [], []

        def constant(name, value):
            constants.append(numpy_helper.from_array(np.asarray(value), name))
            return name

        def weight(name, shape):
            values = self.weights[name]
            if not quantized:
                return constant(name, values.reshape(shape))
            scale = row_scales(values)
            constant(f"{name}.q", np.rint(values / scale[:, None]).clip(-127, 127).astype(np.int8).reshape(shape))
            constant(f"{name}.scale", scale)
            constant(f"{name}.zero", np.zeros(len(scale), np.int8))
            nodes.append(helper.make_node(
                "DequantizeLinear", [f"{name}.q", f"{name}.scale", f"{name}.zero"], [name], axis=0))
            return name

        def grid(value, low, high):
            """`value` as it comes out of QuantizeLinear and DequantizeLinear."""
            if not quantized:
                return value
            scale, zero = scale_of(low, high)
            of = [constant(f"{value}.scale", np.float32(scale)), constant(f"{value}.zero", np.int8(zero))]
            nodes.append(helper.make_node("QuantizeLinear", [value, *of], [f"{value}.q"]))
            nodes.append(helper.make_node("DequantizeLinear", [f"{value}.q", *of], [f"{value}.dq"]))
            return f"{value}.dq"

        def node(op, inputs, output, **attributes):
            nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
            return output

        ranges = self.ranges or {}
        x = grid("image", 0.0, 1.0)
        x = node("Conv", [x, weight("conv.weight", (CHANNELS, 1, 3, 3)), constant("conv.bias", self.weights["conv.bias"])],
                 "conv", kernel_shape=[3, 3])
        x = grid(node("Relu", [x], "hidden"), *ranges.get("hidden", (0, 1)))
        x = node("MaxPool", [x], "pooled", kernel_shape=[2, 2], strides=[2, 2])
        x = grid(x, *ranges.get("hidden", (0, 1)))
        x = node("Flatten", [x], "flat")
        last = "scores" if quantized else "logits"
        x = node("Gemm", [x, weight("fc.weight", (10, CHANNELS * 13 * 13)), constant("fc.bias", self.weights["fc.bias"])],
                 last, transB=1)
        if quantized:
            nodes.append(helper.make_node("Identity", [grid(x, *ranges["logits"])], ["logits"]))
        value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        graph = helper.make_graph(nodes, "digits", [value("image", [1, 1, 28, 28])], [value("logits", [1, 10])], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, path)


def row_scales(weights):
    return np.maximum(np.abs(weights).max(1) / 127, 1e-9).astype(np.float32)


def quantize_rows(weights):
    scale = row_scales(weights)[:, None]
    return np.rint(weights / scale).clip(-127, 127) * scale


def scale_of(low, high):
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32(max(high - low, 1e-9) / 255)
    return scale, int(np.clip(np.rint(-128 - low / scale), -128, 127))


def quantize_range(values, low, high):
    scale, zero = scale_of(low, high)
    return ((np.rint(values / scale) + zero).clip(-128, 127) - zero) * scale
