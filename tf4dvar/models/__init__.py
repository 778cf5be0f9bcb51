"""FourDVarNet: the layers put together."""

from tf4dvar.models.fourdvarnet import FourDVarNet

__all__ = ["FourDVarNet"]
