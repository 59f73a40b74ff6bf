"""ONNX files as public packages ship them: whose they are, and whose their copies are."""
