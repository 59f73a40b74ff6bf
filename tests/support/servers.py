"""Little servers on loopback that answer as a test says, well or badly.

::

    with Server(lambda seen: Said(json={"outputs": [...]})) as server:
        server.url, server.seen
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Said", "Seen", "Server", "each", "mlflow_server", "oip", "oip_server", "predict_server"]

Answering = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""A network: tensors of shape ``(N, ...)`` to rows."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A request as it came.

    Attributes:
        method: HTTP method.
        path: With its query.
        headers: Names in lower case.
        body: What was sent.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, kw_only=True)
class Said:
    """What is answered.

    Attributes:
        status: HTTP status.
        headers: Its headers.
        json: Body as a document.
        body: Body as bytes, in place of a document.
        endless: Sent again and again, with no length stated, until the other side goes.
        raw: Written in place of all of that, as it is.
        silent: Whether nothing is said until the server is closed.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    body: bytes | None = None
    endless: bytes = b""
    raw: bytes | None = None
    silent: bool = False


class _Quiet(ThreadingHTTPServer):
    """Says nothing of clients that hang up, which is what some tests make them do."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Leaves standard error to the program that is tested."""
        del request, client_address


class Server:
    """Answers on loopback until its block ends.

    Args:
        answer: Called for each request, in a thread of its own.
        tls: Context to serve https with.

    Attributes:
        url: Where it is, without a path.
        seen: The requests in the order they came.
    """

    def __init__(
        self, answer: Callable[[Seen], Said], *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.answer = answer
        self.seen: list[Seen] = []
        self.closing = threading.Event()
        self._http = _Quiet(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        if tls is not None:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self.port = self._http.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            seen = Seen(method=self.command, path=self.path, headers=headers, body=body)
            server.seen.append(seen)
            try:
                said = server.answer(seen)
            except Exception:
                said = Said(status=500)
            try:
                self._say(said)
            except OSError:
                self.close_connection = True  # the other side had enough

        do_GET = do_POST = do_PUT = _serve  # noqa: N815

        def _say(self, said: Said) -> None:
            if said.silent:
                server.closing.wait()
            if said.silent or said.raw is not None:
                self.wfile.write(said.raw or b"")
                self.close_connection = True
                return
            body = said.body if said.body is not None else json.dumps(said.json).encode()
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            if not said.endless and "Content-Length" not in said.headers:
                self.send_header("Content-Length", str(len(body)))
            if said.endless:
                self.close_connection = True
                self.send_header("Connection", "close")
            self.end_headers()
            while said.endless and not server.closing.is_set():
                self.wfile.write(said.endless)
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    return Handler


def oip(
    network: Answering, shape: tuple[int, ...], *, binary: bool = False, datatype: str = "FP32"
) -> Callable[[Seen], Said]:
    """Answers for a network as ``/v2/models/ours`` of the Open Inference Protocol.

    Args:
        network: What answers.
        shape: Of one input.
        binary: Whether binary tensors are read and written.
        datatype: FP32 or UINT8, of the inputs.
    """
    dtype: Any = {"FP32": "<f4", "UINT8": "u1"}[datatype]

    def answer(seen: Seen) -> Said:
        if seen.path == "/v2":
            return Said(json={"extensions": ["binary_tensor_data"] if binary else []})
        tensor = {"name": "pixels", "datatype": datatype, "shape": [-1, *shape]}
        if seen.path == "/v2/models/ours":
            return Said(json={"name": "ours", "inputs": [tensor]})
        if seen.path != "/v2/models/ours/infer":
            return Said(status=404)
        length = int(seen.headers.get("inference-header-content-length", len(seen.body)))
        (given,) = json.loads(seen.body[:length])["inputs"]
        assert (given["name"], given["datatype"]) == ("pixels", datatype)
        raw = seen.body[length:]
        values: Any = np.frombuffer(raw, dtype) if binary else given["data"]
        rows = network(np.array(values, np.float32).reshape(given["shape"]))
        output: dict[str, Any] = {"name": "scores", "datatype": "FP32", "shape": list(rows.shape)}
        if not binary:
            return Said(json={"outputs": [{**output, "data": rows.ravel().tolist()}]})
        raw = rows.astype("<f4").tobytes()
        output["parameters"] = {"binary_data_size": len(raw)}
        head = json.dumps({"outputs": [output]}).encode()
        return Said(headers={"Inference-Header-Content-Length": str(len(head))}, body=head + raw)

    return answer


def oip_server(network: Answering, shape: tuple[int, ...], **options: Any) -> Server:
    """Serves a network by the Open Inference Protocol; see :func:`oip`."""
    return Server(oip(network, shape, **options))


def predict_server(network: Answering) -> Server:
    """Serves a network as ``/v1/models/ours:predict``, without metadata."""

    def answer(seen: Seen) -> Said:
        if (seen.method, seen.path) != ("POST", "/v1/models/ours:predict"):
            return Said(status=404)
        rows = network(np.asarray(seen.json["instances"], np.float32))
        return Said(json={"predictions": rows.tolist()})

    return Server(answer)


def mlflow_server(network: Answering) -> Server:
    """Serves a network as MLflow does."""

    def answer(seen: Seen) -> Said:
        if (seen.method, seen.path) != ("POST", "/invocations"):
            return Said(status=404)
        return Said(json={"predictions": network(np.asarray(seen.json["inputs"])).tolist()})

    return Server(answer)


def each(*said: Said) -> Callable[[Seen], Said]:
    """Answers one after another, the last for ever."""
    turns: Iterator[Said] = iter(said)
    lock = threading.Lock()
    last = said[-1]

    def answer(seen: Seen) -> Said:
        del seen
        with lock:
            return next(turns, last)

    return answer
