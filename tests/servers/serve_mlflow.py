"""``mlflow models serve`` of a folder that MLflow saved: ``serve_mlflow.py PORT``."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
from mlflow.models import ModelSignature
from mlflow.pyfunc import PythonModel, save_model
from mlflow.types import Schema, TensorSpec


class Ours(PythonModel):
    """Answers tensors with tensors."""

    def load_context(self, context: Any) -> None:
        """Reads the weights."""
        from network import network

        self.answer = network(context.artifacts["weights"])

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        """Answers inputs."""
        return self.answer(model_input)


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    save_model(
        "model",
        python_model=Ours(),
        artifacts={"weights": os.environ["WEIGHTS"]},
        code_paths=[os.path.join(here, "network.py")],
        signature=ModelSignature(
            inputs=Schema([TensorSpec(np.dtype("float32"), (-1, 1, 16, 16))]),
            outputs=Schema([TensorSpec(np.dtype("float32"), (-1, 10))]),
        ),
        pip_requirements=[],
    )
    # Its own program looks for another one beside this interpreter.
    os.environ["PATH"] = os.pathsep.join((os.path.dirname(sys.executable), os.environ["PATH"]))
    serving = ["models", "serve", "-m", "model", "-p", sys.argv[1], "-h", "127.0.0.1"]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", *serving, "--env-manager", "local"])
