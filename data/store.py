"""The kernel file, `refntk-kernel/1`: all that is needed to write one and to read one.

Layout: `refntk.data.kernel_format` and docs/file-format.md.
"""

from __future__ import annotations

from refntk.data.kernel_format import FORMAT, KernelDescription
from refntk.data.kernel_reader import KernelFile, open_kernel
from refntk.data.kernel_writer import KernelWriter
from refntk.data.shards import ShardWriter, merge

__all__ = [
    "FORMAT",
    "KernelDescription",
    "KernelFile",
    "KernelWriter",
    "ShardWriter",
    "merge",
    "open_kernel",
]
