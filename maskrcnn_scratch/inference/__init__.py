"""Floor 4: what a trained model finds in images, in pictures, files and tables."""

from maskrcnn_scratch.inference.evaluate import evaluate_run
from maskrcnn_scratch.inference.files import predict_files
from maskrcnn_scratch.inference.predict import Predictor
from maskrcnn_scratch.inference.tiles import InTiles

__all__ = ["InTiles", "Predictor", "evaluate_run", "predict_files"]
