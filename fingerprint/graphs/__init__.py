"""ONNX graphs: read, identified and run, all in a process of their own.

A graph comes from anybody, and what parses and runs it is native code. So nothing of a suspect is
looked at here but by that process, which has a limit on memory and on time; it may crash, and what
is lost is an answer. Only a graph that is registered is also converted in this one.
"""
