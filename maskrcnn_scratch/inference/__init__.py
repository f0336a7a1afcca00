"""Floor 4: what a trained model finds in images, in pictures, files and tables."""
