"""What a model's layers put out, written down by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from maskrcnn_scratch.models.box_head import Res5

Shape = tuple[int | str, ...]


@dataclass(frozen=True)
class Entry:
    """One tensor on the way through ``part`` of the model."""

    part: str
    tensor: str
    shape: Shape
    note: str = ""


def entry(part: str, tensor: str, value: Tensor, note: str = "") -> Entry:
    """A tensor as it is."""
    return Entry(part, tensor, tuple(value.shape), note)


def layers_of(net: nn.Module) -> dict[str, nn.Module]:
    """The hidden layers of a head by name, in their order."""
    if isinstance(net, Res5):
        return {"res5": net}
    layers: dict[str, nn.Module] = {}
    for kind in ("conv", "fc"):
        several = getattr(net, f"{kind}s", ())
        layers |= {f"{kind}{n}": layer for n, layer in enumerate(several, 1)}
    if isinstance(deconv := getattr(net, "deconv", None), nn.Module):
        layers["deconv"] = deconv
    return layers


@contextmanager
def recorded(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, Any]]:
    """What each of the layers puts out inside the block, by name."""
    outputs: dict[str, Any] = {}
    with ExitStack() as hooks:
        for name, layer in layers.items():

            def keep(_: nn.Module, __: object, out: Any, name: str = name) -> None:
                outputs[name] = out

            hooks.callback(layer.register_forward_hook(keep).remove)
        yield outputs
