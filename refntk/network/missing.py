"""Layers of other libraries that are not here: why, and what to use in their place."""

from __future__ import annotations

from refntk.errors import unknown
from refntk.network.layers import LAYERS
from refntk.ops.functions import FUNCTIONS

__all__ = ["unknown_layer", "why_missing"]

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

# By the name in lower case and without underscores: what gives the same, or comes near to it.
_INSTEAD = {
    "adaptiveavgpool2d": "use GlobalAvgPool, or AvgPool with a window",
    "groupnorm": "use LayerNorm",
    "gru": "recurrent layers are none of these recursions; use Conv along the sequence",
    "hardtanh": 'it has kinks at -1 and 1; use Elementwise("tanh") or Erf',
    "instancenorm": "use LayerNorm",
    "linear": "use Dense; SetLinear is the equivariant layer between two sets",
    "lstm": "recurrent layers are none of these recursions; use Conv along the sequence",
    "monomial": "use Polynomial, with zeros in coef below the power",
    "prelu": "its slope is learned; use LeakyRelu",
    "relu6": "it has kinks at 0 and 6; use Relu or Gelu",
    "rmsnorm": "use LayerNorm",
    "rnn": "recurrent layers are none of these recursions; use Conv along the sequence",
    "selu": 'its slope jumps at 0, a series of it ends late; use Elementwise("elu") or ABRelu',
    "silu": 'use Elementwise("swish"), which is the same function',
}


def why_missing(name: str) -> str:
    """Say why a layer of other libraries is not here, and what to use.

    Parameters
    ----------
    name : str

    Returns
    -------
    str
        Empty for a name that means nothing.

    Examples
    --------
    >>> why_missing("Tanh")
    'there is no layer Tanh: use Elementwise("tanh")'
    """
    plain = name.lower().replace("_", "")
    for word, reason in _REASONS.items():
        if word in plain:
            what = "layer" if word.startswith("fan") else "exact kernel of"
            return f"there is no {what} {name}: {reason}"
    if plain in FUNCTIONS:
        return f'there is no layer {name}: use Elementwise("{plain}")'
    if plain in _INSTEAD:
        return f"there is no layer {name}: {_INSTEAD[plain]}"
    return ""


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
    >>> unknown_layer("Rellu").split(";")[0]
    'unknown layer "Rellu" (did you mean "Relu"?)'
    """
    return (isinstance(name, str) and why_missing(name)) or unknown("layer", name, LAYERS)
