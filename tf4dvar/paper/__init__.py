"""What the paper shows: tables, figures, scores, the fixed-step descent, a demonstration."""
