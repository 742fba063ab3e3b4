"""Modbus without dependencies: the same files run on CPython and on MicroPython sensor nodes.

So nothing here imports enum, dataclasses, typing, logging or abc.
"""
