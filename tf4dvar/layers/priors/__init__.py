"""Dynamical priors Phi."""
