"""Parts of priors, updates and first guesses: convolutions, blocks, segments of time."""
