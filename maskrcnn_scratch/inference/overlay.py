"""Pictures of what was found: masks with outlines, boxes, keypoints, names, scores."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int64, Shaped
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from torch import Tensor

from maskrcnn_scratch.structures import Detections, Target

Color = tuple[int, int, int]
Skeleton = Sequence[tuple[int, int]]  # pairs of keypoints that a line joins

SHOWN_SIDE = 640  # small images are enlarged until their longer side is near this
MOST_CAPTIONS = 40  # with more objects than these, captions would hide them
DARK = 0.6  # images whose bright pixels are below this are brightened
FILL = 0.4  # of the mask's colour over the image
POINT = 3  # radius of a keypoint
FONT_SIZE = 13
TITLE_HEIGHT = 26
HIDDEN, VISIBLE = 1, 2  # COCO's visibility of a labelled keypoint
GOLDEN = (5**0.5 - 1) / 2


def draw_detections(
    image: Float[Tensor, "3 height width"],
    found: Detections,
    class_names: Sequence[str],
    skeleton: Skeleton = (),
) -> Image.Image:
    """The image with every detection; captions are class and score."""
    points = found.keypoints
    if points is not None:  # their third number is a score, and all are shown
        points = points.clone()
        points[..., 2] = VISIBLE
    names = class_captions(found.labels, class_names)
    captions = [
        f"{name} {score:.2f}".lstrip()
        for name, score in zip(names, found.scores.tolist(), strict=True)
    ]
    canvas = draw_objects(image, found.boxes, found.masks, captions)
    return draw_keypoints(canvas, image, points, skeleton)


def draw_target(
    image: Float[Tensor, "3 height width"],
    target: Target,
    class_names: Sequence[str],
    skeleton: Skeleton = (),
) -> Image.Image:
    """The image with its ground truth; captions are classes."""
    captions = class_captions(target.labels, class_names)
    canvas = draw_objects(image, target.boxes, target.masks, captions)
    return draw_keypoints(canvas, image, target.keypoints, skeleton)


def class_captions(
    labels: Int64[Tensor, " n"], class_names: Sequence[str]
) -> list[str]:
    """The name of each object's class; nothing where there is one class only."""
    if len(class_names) == 1:
        return [""] * len(labels)
    return [class_names[label - 1] for label in labels.tolist()]


def draw_comparison(
    image: Float[Tensor, "3 height width"],
    target: Target,
    found: Detections,
    class_names: Sequence[str],
    skeleton: Skeleton = (),
) -> Image.Image:
    """Ground truth at the left, detections at the right, each with its number."""
    left = draw_target(image, target, class_names, skeleton)
    right = draw_detections(image, found, class_names, skeleton)
    gap = 8
    sheet = Image.new(
        "RGB", (2 * left.width + gap, left.height + TITLE_HEIGHT), "white"
    )
    titles = (f"ground truth ({len(target)})", f"found ({len(found)})")
    for number, (panel, title) in enumerate(zip((left, right), titles, strict=True)):
        x = number * (left.width + gap)
        sheet.paste(panel, (x, TITLE_HEIGHT))
        font = ImageFont.load_default(FONT_SIZE + 2)
        ImageDraw.Draw(sheet).text((x + 4, 4), title, fill="black", font=font)
    return sheet


def draw_objects(
    image: Float[Tensor, "3 height width"],
    boxes: Float[Tensor, "n 4"],
    masks: Shaped[Tensor, "n height width"] | None,
    captions: Sequence[str],
) -> Image.Image:
    """The image with masks and boxes in distinct colours, first object on top."""
    pixels = (brightened(image) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    scale = max(1, round(SHOWN_SIDE / max(pixels.shape[:2])))
    canvas = Image.fromarray(pixels)
    canvas = canvas.resize(
        (canvas.width * scale, canvas.height * scale), Image.Resampling.BICUBIC
    )
    colors = distinct_colors(len(boxes))
    corners = boxes.cpu().numpy() * scale
    for index in reversed(range(len(boxes))):
        if masks is not None:
            paint_mask(canvas, masks[index].cpu().numpy() > 0, scale, colors[index])
        draw = ImageDraw.Draw(canvas)
        draw.rectangle(tuple(inside(corners[index], canvas)), outline=colors[index])
    if len(boxes) <= MOST_CAPTIONS:
        for index in reversed(range(len(boxes))):
            if captions[index]:
                write_caption(canvas, captions[index], corners[index], colors[index])
    return canvas


def draw_keypoints(
    canvas: Image.Image,
    image: Float[Tensor, "3 height width"],
    keypoints: Float[Tensor, "n points 3"] | None,
    skeleton: Skeleton,
) -> Image.Image:
    """The canvas with (x, y, v): visible ones filled, hidden ones as rings.

    Lines join the pairs of the skeleton of which both are labelled. All are in the
    object's colour, edged in black.
    """
    if keypoints is None:
        return canvas
    draw = ImageDraw.Draw(canvas)
    scale = canvas.width / image.shape[2]
    colors = distinct_colors(len(keypoints))
    for rows, color in reversed(list(zip(keypoints.tolist(), colors, strict=True))):
        places = [(x * scale, y * scale) for x, y, _ in rows]
        for one, other in skeleton:
            if rows[one][2] and rows[other][2]:
                line = [*places[one], *places[other]]
                draw.line(line, "black", width=4)
                draw.line(line, color, width=2)
        for place, (_, _, visibility) in zip(places, rows, strict=True):
            if visibility:
                draw.circle(place, POINT + 1, "black")
                draw.circle(place, POINT, color)
            if visibility == HIDDEN:
                draw.circle(place, POINT - 1.5, "black")
    return canvas


def brightened(
    image: Float[Tensor, "3 height width"],
) -> Float[Tensor, "3 height width"]:
    """In 0..1; a dark image, as microscopes make them, is stretched to be seen."""
    brightest = float(np.quantile(image.cpu().numpy(), 0.995))
    return (image * max(1.0, DARK / max(brightest, 1e-3))).clamp(0, 1)


def inside(
    box: Float[np.ndarray, " 4"], canvas: Image.Image
) -> Float[np.ndarray, " 4"]:
    """Outer pixels of a box, so that all four sides can be seen."""
    limits = np.array([canvas.width, canvas.height] * 2) - 1
    return (box - [0, 0, 1, 1]).clip(0, limits).round()


def distinct_colors(count: int) -> list[Color]:
    """Bright colours: golden-ratio steps of hue keep neighbours in the list apart."""
    colors = []
    for index in range(count):
        hue = (0.6 + index * GOLDEN) % 1
        parts = colorsys.hsv_to_rgb(hue, (0.85, 0.6)[index // 5 % 2], 1)
        red, green, blue = (round(255 * part) for part in parts)
        colors.append((red, green, blue))
    return colors


def paint_mask(
    canvas: Image.Image,
    mask: Bool[np.ndarray, "height width"],
    scale: int,
    color: Color,
) -> None:
    """Tint the object's pixels and draw its outline, in place."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return
    top, left = rows[0], columns[0]
    part = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1], 1)
    cover = Image.fromarray(part.astype(np.uint8) * 255).resize(
        (part.shape[1] * scale, part.shape[0] * scale), Image.Resampling.BILINEAR
    )
    rounded = cover.filter(ImageFilter.GaussianBlur(scale / 4 if scale > 1 else 0))
    filled = rounded.point(lambda value: 255 if value >= 128 else 0)
    core = filled.filter(ImageFilter.MinFilter(5 if scale > 1 else 3))
    weight = Image.eval(filled, lambda value: round(value * FILL))
    weight.paste(255, mask=Image.fromarray(np.asarray(filled) & ~np.asarray(core)))
    corner = (int(left - 1) * scale, int(top - 1) * scale)
    canvas.paste(Image.new("RGB", cover.size, color), corner, weight)


def write_caption(
    canvas: Image.Image, text: str, box: Float[np.ndarray, " 4"], color: Color
) -> None:
    """Dark text on the object's colour, above the box or, at the top, below it."""
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(FONT_SIZE)
    width = round(draw.textlength(text, font=font)) + 6
    height = FONT_SIZE + 5
    x = int(min(max(box[0], 0), max(canvas.width - width, 0)))
    above, below = box[1] - height, min(box[3], canvas.height - height)
    y = int(above if above >= 0 else below)
    draw.rectangle((x, y, x + width - 1, y + height - 1), fill=color)
    draw.text((x + 3, y + 1), text, fill="black", font=font)
