"""Learned variational data assimilation in TensorFlow/Keras.

Given noisy, partial observations of a dynamical system over a time window, reconstruct the
whole state with a variational cost and a gradient-based solver that are both learned
(Fablet et al. 2021, doi:10.1029/2021MS002572).

Import from the subpackages, which load TensorFlow only where it is needed:
`tf4dvar.systems`, `tf4dvar.symbolic`, `tf4dvar.data`, `tf4dvar.layers`, `tf4dvar.models`,
`tf4dvar.classical`, `tf4dvar.training`, `tf4dvar.experiments`, `tf4dvar.metrics`, `tf4dvar.plots`,
`tf4dvar.export`, `tf4dvar.serving`.
"""

__version__ = "0.1.0"
