"""Trained models in the formats that others read."""

from tf4dvar.export.formats import FORMATS, ExportFormat, format_by_name, save
from tf4dvar.export.onnx import ONNX
from tf4dvar.export.saved_model import SavedModel

__all__ = [
    "FORMATS",
    "ONNX",
    "ExportFormat",
    "SavedModel",
    "format_by_name",
    "save",
]
