"""Serving an exported model over HTTP, in the form of TensorFlow Serving's REST API.

The client needs NumPy alone; the server is started by `tf4dvar serve`.
"""

from tf4dvar.serving.client import Client

__all__ = ["Client"]
