"""File formats: bytes in, named tensors out, nothing ever run or unpickled freely."""
