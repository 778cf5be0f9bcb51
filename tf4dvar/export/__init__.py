"""Trained models in the formats that others read."""

from tf4dvar.export.saved_model import description_of, model_card, save, signature_card

__all__ = ["description_of", "model_card", "save", "signature_card"]
