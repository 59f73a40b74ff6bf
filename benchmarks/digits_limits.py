"""Where the method ends, on small networks: independents of the same data, and students.

    python -m benchmarks.digits_limits [--networks 3]

For each kind of network one is the source. Independent networks share its architecture and
data, not its seed. A student is trained from scratch on the source's logits for the training
images: it shares the source's answers, none of its weights, so neither
verdict is owed and both are reported. Everything is trained on
scikit-learn's digits in seconds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.report import machine, print_registration, print_verdicts
from fingerprint import Model, extract, load_model
from fingerprint.lab import data, modifications, networks, training

KINDS: dict[str, Callable[[], nn.Module]] = {
    "cnn": networks.cnn,
    "vit": networks.vit,
    "mlp": networks.mlp,
}


def _distilled(
    teacher: nn.Module, factory: Callable[[], nn.Module], digits: data.Data
) -> nn.Module:
    """Trains a student on the teacher's logits, with noise added to the images."""

    def loss(student: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        del labels
        with torch.no_grad():
            wanted = teacher(images)
        return functional.mse_loss(student(images), wanted)

    return training.train(
        training.untrained(factory, 99),
        digits,
        training.Settings(epochs=24, scheduled=False),
        seed=99,
        loss=loss,
        distort=training.noised(0.1),
    )


def _model(network: nn.Module, digits: data.Data) -> Model:
    return load_model(network, input_size=digits.input_size)


def main() -> None:
    """Prints one table for each kind of network."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", type=int, default=3, help="networks of each kind")
    parser.add_argument("--seed", default="benchmark")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"measured on {machine()}\n")
    digits = data.digits()
    other = {"cnn": "vit", "vit": "cnn", "mlp": "cnn"}
    for kind, factory in KINDS.items():
        trained = [training.trained(factory, digits, seed=seed) for seed in range(options.networks)]
        source = trained[0]
        fingerprint = extract(_model(source, digits), seed=options.seed)
        print_registration(
            f"{kind} (accuracy {training.accuracy(source, digits):.3f})", fingerprint
        )
        suspects = [
            ("itself", "same", source),
            ("fine-tuned", "derived", modifications.fine_tuned(source, digits, seed=7)),
            ("student, same architecture", "-", _distilled(source, factory, digits)),
            (f"student, {other[kind]}", "-", _distilled(source, KINDS[other[kind]], digits)),
        ]
        suspects += [
            (f"seed {seed}", "independent", network)
            for seed, network in enumerate(trained[1:], start=1)
        ]
        print_verdicts(
            fingerprint, ((name, want, _model(net, digits)) for name, want, net in suspects)
        )
        print()


if __name__ == "__main__":
    main()
