"""Layers of other libraries that are not here: why, and what to use in their place."""

from __future__ import annotations

from refntk.errors import unknown
from refntk.network.activations import Activation
from refntk.network.layers import LAYERS

__all__ = ["unknown_layer"]

# By what the name has in it, in lower case and without underscores.
_REASONS = {
    "maxpool": "the largest of several Gaussian features has no kernel in closed form; use "
    "AvgPool or strides",
    "batchnorm": "it ties the images of a batch to each other, so that there is no kernel of two "
    "images; use LayerNorm, or leave it out and set the scale with W_std and b_std",
    "fanin": "what joins branches is one layer with them; use Residual, Concat or Product",
    "fanout": "what forks is one layer with its branches; use Residual, Concat or Product",
    "softmax": "it is no pointwise function of independent features; regress on class targets, as "
    "refntk predict does",
    "attention": "its weights are features themselves, which is none of these recursions; use Conv "
    "or GroupConv",
}

_ACTIVATIONS = frozenset({
    "abrelu", "abs", "cos", "elementwise", "elu", "erf", "exp", "gaussian", "gelu",
    "hardtanh", "hermite", "leakyrelu", "mish", "monomial", "polynomial", "prelu", "rbf",
    "rectifiedmonomial", "relu6", "selu", "sigmoid", "sigmoidlike", "sign", "silu", "sin",
    "softplus", "swish", "tanh",
})  # fmt: skip


def unknown_layer(name: object) -> str:
    """Word the message about a layer that does not exist.

    Parameters
    ----------
    name : object
        What stands in the place of its name.

    Returns
    -------
    str
        One line: for a layer of other libraries why it is not here and what to use, else the
        nearest known name.

    Examples
    --------
    >>> unknown_layer("Gelu")
    'there is no layer Gelu; the activations so far are Relu, LeakyRelu, Abs'
    """
    plain = name.lower().replace("_", "") if isinstance(name, str) else ""
    for word, reason in _REASONS.items():
        if word in plain:
            what = "layer" if word.startswith("fan") else "exact kernel of"
            return f"there is no {what} {name}: {reason}"
    if plain in _ACTIVATIONS and plain not in map(str.lower, LAYERS):
        here = [key for key, layer in LAYERS.items() if issubclass(layer, Activation)]
        return f"there is no layer {name}; the activations so far are {', '.join(here)}"
    return unknown("layer", name, LAYERS)
