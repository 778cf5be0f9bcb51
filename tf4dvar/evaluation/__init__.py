"""Scores, comparison and plots."""
