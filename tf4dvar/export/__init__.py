"""Trained models in the formats that others read."""

from tf4dvar.export.saved_model import save

__all__ = ["save"]
