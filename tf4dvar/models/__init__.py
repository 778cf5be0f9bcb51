"""FourDVarNet: the layers put together, trained by `fit`, saved and loaded."""

from tf4dvar.models.fourdvarnet import FourDVarNet
from tf4dvar.models.loading import load_model, model_file
from tf4dvar.models.losses import SupervisedLoss, TrainingLoss, UnsupervisedLoss
from tf4dvar.models.metrics import RScore
from tf4dvar.models.saved_model import twin

__all__ = [
    "FourDVarNet",
    "RScore",
    "SupervisedLoss",
    "TrainingLoss",
    "UnsupervisedLoss",
    "load_model",
    "model_file",
    "twin",
]
