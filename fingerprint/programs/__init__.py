"""Files that others run, as suspects only: code, and networks of other libraries.

TorchScript and programs of ``torch.export`` run what they bring when they are loaded, Keras
networks may, and what reads these, TensorFlow Lite or OpenVINO is native code. So nothing of a file
is looked at here but its first bytes and the names in its archive; it is opened and asked by a
process in a sandbox (:mod:`fingerprint.sandbox`), and what that says is as little believed as what
an endpoint says. There is a module for each library, ``by_...``, which is what that process runs.
"""
