"""Floor 1: every picture that lessons, answers and pages share, with its numbers."""
