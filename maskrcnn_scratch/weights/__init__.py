"""Floor 4: weights in files, ours and those of others."""
