"""The kernel file, `refntk-kernel/1`: all that is needed to write one and to read one.

Layout: `refntk.data.kernels.kernel_format` and docs/file-format.md.
"""

from __future__ import annotations

from refntk.data.kernels.kernel_format import FORMAT, KernelDescription
from refntk.data.kernels.kernel_reader import KernelFile, open_kernel
from refntk.data.kernels.kernel_writer import KernelWriter
from refntk.data.kernels.shards import ShardWriter, merge

__all__ = [
    "FORMAT",
    "KernelDescription",
    "KernelFile",
    "KernelWriter",
    "ShardWriter",
    "merge",
    "open_kernel",
]
