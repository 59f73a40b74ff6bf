"""Files that are code: TorchScript and programs of ``torch.export``, as suspects only.

Loading one runs what it brings, so nothing of it is looked at here but the names in its archive; it
is opened and asked by a process in a sandbox (:mod:`fingerprint.sandbox`), and what that says is as
little believed as what an endpoint says.
"""
