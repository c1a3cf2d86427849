"""Multiply-adds of a layer, a run of the engine. Pure.

    convolution      numbers out * (channels in / groups) * kernel height * kernel width
    deconvolution    numbers in * (channels out / groups) * kernel height * kernel width
    matrix product   numbers out * length of the sum

One multiply with its add counts one. Everything else (activations, sums, pooling, resize, moves) counts nothing: it
takes time too, but on either core that is memory, and a share of multiply-adds is to say where the computing is done.
"""

from __future__ import annotations

import math

from edgeagent.engine.dla.layer import Shape


def convolution_macs(result: Shape, kernel: Shape) -> int:
    """`kernel` is the weights' shape: (out, in / groups, height, width)."""
    return math.prod(result) * math.prod(kernel[1:])


def deconvolution_macs(source: Shape, kernel: Shape) -> int:
    """`kernel` is the weights' shape: (in, out / groups, height, width)."""
    return math.prod(source) * math.prod(kernel[1:])


def product_macs(result: Shape, length: int) -> int:
    return math.prod(result) * length
