"""Runs what strangers wrote: in a process that may compute, and nothing else.

It cannot write, open a socket, start a program or signal another process; it reads Python and its
packages and nothing of the user's; memory and time are limited, and at a limit it is killed. What
it answers comes through a pipe as JSON and numbers, which are not believed either.

The kernel holds it to that, in one of the ways of :mod:`fingerprint.sandbox.backends`.
"""
