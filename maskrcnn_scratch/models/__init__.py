"""Floor 3: the model, from backbone to masks, in the order of the paper's figure.

``images -> ResNet -> FPN -> RPN -> proposals -> box head -> detections -> mask head``
"""

from maskrcnn_scratch.models.config import ModelConfig
from maskrcnn_scratch.models.mask_rcnn import MaskRCNN

__all__ = ["MaskRCNN", "ModelConfig"]
