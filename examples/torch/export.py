"""Trains a small network with torch, exports it, converts it to int8 with the images of a DataLoader, and compares the two.

    python examples/torch/export.py -o digits.tflite

Torch is used in `trained` alone: `--export FILE` takes an export that was made earlier (`--keep FILE` keeps one).
"""
import argparse
from pathlib import Path

import numpy as np

import litesmith

DIGITS = Path(__file__).parents[2] / "fixtures" / "digits" / "test.npz"
TRAINING = 300


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("digits.tflite"))
    parser.add_argument("--export", type=Path, help="an export that was made earlier")
    parser.add_argument("--keep", type=Path, help="keep the export, for --export")
    args = parser.parse_args()

    with np.load(DIGITS) as stored:
        images, labels = stored["image"][:, None], stored["labels"]
    training = list(zip(images[:TRAINING], labels[:TRAINING]))
    if args.export:
        program, loader = args.export, training
    else:
        program, loader = trained(training)
        if args.keep:
            program.save(str(args.keep))

    # The loader gives images and labels; samples are what the network takes.
    model = litesmith.convert(program, quantize="int8", calibration=([image] for image, _ in loader))
    model.save(args.output)
    print(model.report)
    found = model.verify([[image] for image in images[TRAINING:]], labels=labels[TRAINING:])
    print(found.raise_if_worse_than(db=20).raise_if_drop_exceeds(percent=2))


def trained(digits):
    """The network as torch exports it, and the loader of the digits that it was trained on."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader

    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(40):
        for image, label in DataLoader([(image[0], label) for image, label in digits], batch_size=30, shuffle=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(image), label).backward()
            optimizer.step()
    loader = DataLoader([(image[0], label) for image, label in digits], batch_size=1)
    example, _ = next(iter(loader))
    return torch.onnx.export(net.eval(), (example,), dynamo=True), loader


if __name__ == "__main__":
    main()
