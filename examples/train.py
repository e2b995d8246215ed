"""Trains the example models anew and writes everything that is derived from data.

    python examples/train.py             writes all five examples
    python examples/train.py --verify    compares with what is committed, writes nothing
    python examples/train.py iris-network

Seeds and versions (requirements.txt) are fixed: one machine makes the same bytes
every time. Another processor may round sums differently and then differs in the
last bits of the weights. LeNet takes about a minute; its digits come through npm.
"""

import os

# Several threads would split the sums differently from run to run.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
import sys  # noqa: E402

from trainer import datasets, digit, haircut, lenet, mnist, network, regression, samples  # noqa: E402


def main():
    arguments = argparse.ArgumentParser(description="Trains the example models.")
    arguments.add_argument("examples", nargs="*", metavar="EXAMPLE",
                           help=f"one or more of {', '.join(EXAMPLES)} (default: all)")
    arguments.add_argument("--verify", action="store_true", help="compare with the committed files, write nothing")
    options = arguments.parse_args()
    if unknown := set(options.examples) - set(EXAMPLES):
        arguments.error(f"there is no example {', '.join(sorted(unknown))}")
    differs = False
    for example in options.examples or EXAMPLES:
        for name, content in EXAMPLES[example]().items():
            path = datasets.EXAMPLES / example / name
            if not options.verify:
                path.write_bytes(content)
                print(f"{example}/{name}: {len(content)} bytes")
                continue
            same = path.exists() and path.read_bytes() == content
            differs |= not same
            print(f"{example}/{name}: {'identical' if same else 'DIFFERS'}")
    return 1 if differs else 0


def iris_regression():
    """The regression's files, by name."""
    model = regression.train()
    return {"model.onnx": model, **samples.iris_regression(model)}


def iris_network():
    """The network's files, by name."""
    model = network.train()
    return {"model.onnx": model, **samples.iris_network(model)}


def lenet_mnist():
    """LeNet's files, by name, the held-out digits among them."""
    train, (pixels, labels) = mnist.load_digits()
    model = lenet.train(*train)
    return {
        "model.onnx": model,
        datasets.DIGIT_IMAGES.name: datasets.encode_idx(pixels),
        datasets.DIGIT_LABELS.name: datasets.encode_idx(labels),
        **samples.lenet_mnist(model, pixels, labels),
    }


def one_digit():
    """The files of LeNet for bytes, by name; its weights are those of lenet-mnist as it stands in its folder."""
    model = digit.build()
    return {"model.onnx": model, **samples.digit(model, *datasets.load_held_out_digits())}


def one_haircut():
    """The files of the judge of risk, by name."""
    model = haircut.train()
    return {"model.onnx": model, **samples.haircut(model, *haircut.split()[1])}


EXAMPLES = {"iris-regression": iris_regression, "iris-network": iris_network, "lenet-mnist": lenet_mnist,
            "digit": one_digit, "haircut": one_haircut}

if __name__ == "__main__":
    sys.exit(main())
