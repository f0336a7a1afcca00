"""Floor 0, the specification: NumPy alone, float64, loops that read like the papers.

Nothing here is fast; every other floor is tested against it.

=================  =====================================  ============================
module             what it computes                       where it is described
=================  =====================================  ============================
bilinear           a map read at real coordinates         Mask R-CNN 3, RoIAlign
roi_steps          a RoI layer's numbers, step by step    Mask R-CNN 3, RoIAlign
roi_pool           maxima of a RoI rounded twice          Fast R-CNN 2.1
roi_warp           samples of a RoI rounded once          MNC 4
roi_align          samples of a RoI, nothing rounded      Mask R-CNN 3, RoIAlign
crop_and_resize    one read a bin, the outer at corners   TensorFlow, tf.image
boxes              area, IoU, clip, encode, decode        R-CNN, appendix C
anchors            the boxes an RPN starts from           Faster R-CNN 3.1, FPN 4.1
nms                one detection an object                Fast R-CNN 3
fpn_levels         the pyramid level of a RoI             FPN 4.2, equation 1
matching           which box learns which object          Faster R-CNN 3.1.2
losses             of class, box, objectness and mask     Fast R-CNN 2.3, Mask R-CNN 3
masks              polygons, RLE, mask targets, pasting   Mask R-CNN 3
keypoints          one-hot targets, loss, read-out, OKS   Mask R-CNN 5
average_precision  COCO's twelve figures                  COCO; Mask R-CNN 4
average_recall     how many objects proposals hold        FPN 5.1
=================  =====================================  ============================

Papers: R-CNN arXiv:1311.2524, Fast R-CNN 1504.08083, Faster R-CNN 1506.01497, MNC
1512.04412, FPN 1612.03144, Mask R-CNN 1703.06870.

Boxes are (x1, y1, x2, y2) in image pixels; the pixel in row i, column j covers
[j, j + 1) x [i, i + 1). RoIs are (image index, x1, y1, x2, y2).
"""
