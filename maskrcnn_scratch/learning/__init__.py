"""Floor 2: what helps to learn: the recorder of kernel launches."""
