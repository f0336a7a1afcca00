"""Floor 6: speed and memory beside another library's, case by case, as ratios."""
