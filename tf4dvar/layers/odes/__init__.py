"""Equations of motion, dx/dt."""
