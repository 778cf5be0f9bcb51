"""Updates of the solver."""
