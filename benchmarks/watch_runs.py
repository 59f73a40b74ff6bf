"""``fp watch`` itself, run after run: whom it accuses while nothing changes, and when it notices.

    python -m benchmarks.watch_runs --runs 144

:mod:`benchmarks.watch` makes its thousands of runs by the library's functions. Here the command is
called, with a registry and services on loopback: ``fp watch init`` for each of ten, ``fp watch
run`` for all of them as often as cron would in three days of half hours, and then, with another
network behind each address, until all have changed. Everything but a new process is done each time.
The networks are the lab's, of digits. The numbers are kept in ``benchmarks/watch_runs.json``, which
:mod:`benchmarks.watch` writes into its page; without ``--runs`` they are only printed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from typer.testing import CliRunner

from benchmarks.markdown import table
from benchmarks.report import machine, progress
from cli.main import app
from fingerprint.lab.data import digits
from fingerprint.lab.networks import cnn
from fingerprint.lab.training import one_thread, trained

__all__ = ["RESULTS", "Network", "Service", "main", "measured", "served", "tables"]

RESULTS = Path(__file__).with_suffix(".json")
_SHAPE = (1, 16, 16)
_ALPHA = 0.05


@dataclass(frozen=True, kw_only=True)
class Service:
    """How a network is served.

    Attributes:
        name: In the table.
        targets: How many there are of this kind, each with noise of its own.
        noise: Deviation that is added to logits, as a share of theirs.
        decimals: Answers are probabilities, rounded to so many.
    """

    name: str
    targets: int = 1
    noise: float = 0.0
    decimals: int | None = None


SERVICES = (
    Service(name="logits"),
    Service(name="probabilities, 4 decimals", decimals=4),
    Service(name="logits, 5 % noise", targets=8, noise=0.05),
)


class Network:
    """What stands behind all addresses, and is exchanged at the end.

    Attributes:
        network: Takes ``(N, 1, 16, 16)`` in 0..1 to logits.
        spread: Deviation of its logits, on digits. Noise that went by the inputs of one request
            would depend on what else is asked with a question.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        pictures = torch.from_numpy(digits().test_images).float() / 255
        with torch.inference_mode():
            self.spread = float(network(pictures).std())
        self._random = np.random.default_rng(0)

    def __call__(self, inputs: NDArray[np.float32], service: Service) -> NDArray[np.float64]:
        """Answers ``(N, 1, 16, 16)`` in 0..1 as a service does."""
        with torch.inference_mode():
            logits = self.network(torch.from_numpy(inputs)).double()
        if service.decimals is not None:
            rounded: NDArray[np.float64] = logits.softmax(1).numpy().round(service.decimals)
            return rounded
        noise = self._random.normal(size=tuple(logits.shape))
        noisy: NDArray[np.float64] = logits.numpy() + service.noise * self.spread * noise
        return noisy


@contextmanager
def served(network: Network, services: Mapping[str, Service]) -> Iterator[str]:
    """Serves a network by the Open Inference Protocol on loopback, at a path for each service.

    Yields:
        The address, to which a name of ``services`` is added.
    """
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            tensor = {"name": "pixels", "datatype": "FP32", "shape": [-1, *_SHAPE]}
            known = self.path.removeprefix("/v2/models/") in services
            self._say({"inputs": [tensor]} if known else {"extensions": []})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name = self.path.removeprefix("/v2/models/").removesuffix("/infer")
            (given,) = body["inputs"]
            inputs = np.asarray(given["data"], np.float32).reshape(given["shape"])
            with lock:
                rows = network(inputs, services[name])
            output = {"name": "logits", "datatype": "FP32", "shape": list(rows.shape)}
            self._say({"outputs": [{**output, "data": rows.ravel().tolist()}]})

        def _say(self, document: Mapping[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            del format, arguments

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v2/models/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def measured(
    runs: int, folder: Path, kinds: Sequence[Service] = SERVICES, *, most: int = 60
) -> dict[str, Any]:
    """Watches, exchanges the network, and watches on; see the module.

    Args:
        runs: How often while nothing changes.
        folder: Where the registry is.
        kinds: How the network is served.
        most: How often at most after it was exchanged.

    Raises:
        RuntimeError: The command ended otherwise than what it says of the targets wants.
    """
    ours, other = (trained(cnn, digits(), seed=seed) for seed in (0, 1))
    network = Network(ours)
    services = {
        f"{place}-{number}": service
        for place, service in enumerate(kinds)
        for number in range(service.targets)
    }
    with served(network, services) as address:
        for name in services:
            where = (name, address + name, "--adapter", "oip", "--allow-private")
            code, _ = _fp(folder, "init", *where, "--alpha", str(_ALPHA))
            if code != 0:
                raise RuntimeError(f"{name} could not be watched: exit code {code}")
        # A row of the registry alone sends nothing to an address inside.
        inside = urlsplit(address).netloc
        before = _states(folder, services, runs, inside)
        network.network = other
        after = _states(folder, services, most, inside)
    return {
        "measured on": machine(),
        "runs": runs,
        "alpha": _ALPHA,
        "services": [
            {
                "service": service.name,
                "targets": len(names),
                "answers": sum(before[name].count("unchanged") for name in names),
                "unclear": sum(before[name].count("unclear") for name in names),
                "accused": sum("changed" in before[name] for name in names),
                "noticed after": [
                    _first(after[name]) for name in names if "changed" not in before[name]
                ],
            }
            for service in kinds
            for names in [[name for name, one in services.items() if one is service]]
        ],
    }


def _states(
    folder: Path, names: Mapping[str, Service], runs: int, host: str
) -> dict[str, list[str]]:
    """Runs the command so often, and returns what it said of each target."""
    said: dict[str, list[str]] = {name: [] for name in names}
    for number in range(runs):
        progress("fp watch run", number, runs)
        code, text = _fp(folder, "run", "--json", "--to", host)
        states = {one["name"]: one["state"] for one in json.loads(text)["runs"]}
        wanted = 1 if "changed" in states.values() else 4 if "unclear" in states.values() else 0
        if code != wanted:
            raise RuntimeError(f"expected exit code {wanted} for {states}, got {code}")
        for name, state in states.items():
            said[name].append(state)
        if set(states.values()) == {"changed"}:
            break
    return said


def _fp(folder: Path, *words: str) -> tuple[int, str]:
    """Calls ``fp watch``, and returns its exit code and what it wrote to standard output."""
    given = ["watch", *words, "--registry", str(folder / "registry.db")]
    done = CliRunner().invoke(app, given, prog_name="fp")
    return done.exit_code, done.stdout


def _first(states: list[str]) -> int | None:
    return states.index("changed") + 1 if "changed" in states else None


def tables(results: Mapping[str, Any]) -> dict[str, Callable[[], str]]:
    """Returns the table of a page, by its name."""
    head = ("service", "targets", "runs each", "unclear", "ever accused", "noticed in run")
    rows = [
        (
            row["service"],
            row["targets"],
            results["runs"],
            row["unclear"],
            row["accused"],
            ", ".join("never" if one is None else str(one) for one in row["noticed after"]),
        )
        for row in results["services"]
    ]
    return {"runs of the command": lambda: table(head, rows)}


def main() -> None:
    """Measures, if a number of runs is given, and prints and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, help="how often while nothing changes; 144 are kept")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.runs is not None:
        with one_thread(), tempfile.TemporaryDirectory() as folder:
            found = measured(options.runs, Path(folder))
        options.results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    results = json.loads(options.results.read_text(encoding="utf-8"))
    print(f"measured on {results['measured on']}")
    for name, make in tables(results).items():
        print(f"\n{name}\n\n{make()}")


if __name__ == "__main__":
    main()
