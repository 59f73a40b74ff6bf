"""The process that reads and runs one ONNX graph: ``python -m fingerprint.graphs.child``.

Started by :mod:`fingerprint.graphs.process`, which it talks to by its standard input and output.
It holds itself down before it looks at anything, and ends when its input does.
"""

from __future__ import annotations

from typing import Any

from fingerprint.sandbox.serving import serve


class _Served:
    """The network of this process, as far as it is known.

    Args:
        threads: How many may compute.
    """

    def __init__(self, threads: int) -> None:
        import onnx
        import onnxruntime

        del onnx, onnxruntime  # these are all the libraries that run
        self.threads = threads
        self.model: Any = None
        self.session: Any = None
        self.data = b""

    def read(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        from fingerprint.graphs.reading import external_files, parse

        self.model = parse(payload)
        return {"external": external_files(self.model)}, b""

    def open(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        from fingerprint.graphs.digest import graph_digest
        from fingerprint.graphs.reading import fill, plain
        from fingerprint.graphs.session import Session, facts_of

        files, begin = {}, 0
        for place, size in header["files"]:
            files[place] = payload[begin : begin + size]
            begin += size
        model, self.model = self.model, None
        fill(model, files)
        model = plain(model)
        facts = {"digest": graph_digest(model), **facts_of(model)}
        data = model.SerializeToString()
        del files, payload, model
        self.session = Session(data, threads=self.threads)
        self.data = data if header["keep"] else b""
        return {**facts, **self.session.ports()}, b""

    def content(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        return {}, self.data

    def ask(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        import numpy as np

        values = np.frombuffer(payload, header["dtype"]).reshape(header["shape"])
        rows = self.session.ask(header["input"], values, header["output"], pool=header["pool"])
        return {"shape": rows.shape}, rows.tobytes()


if __name__ == "__main__":
    serve(_Served)
