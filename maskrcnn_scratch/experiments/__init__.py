"""Floor 6: trainings in miniature, for lessons and claims."""
