"""Measure what keeping a kernel costs.

    python benchmarks/store_speed.py NETWORK COUNT SIZE FOLDER [--get NAME]

computes a float32 kernel of COUNT random images of SIZE x SIZE pixels as `refntk compute` does,
with default tiles, and prints how long it took, how much of that the store took (journal,
checksums, the kernel file, waiting for the disk), and how fast h5py alone writes the same matrix.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from pathlib import Path

import h5py
import numpy as np

import refntk
from refntk.data.images.inputs import load_inputs
from refntk.data.kernels.kernel_cache import describe_job
from refntk.data.kernels.store import KernelWriter
from refntk.evaluation.evaluate import Job
from refntk.evaluation.options import Options


def measure(network: str, count: int, size: int, folder: Path, get: tuple[str, ...]) -> None:
    """Compute, store, and print one line a figure."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 1), dtype=np.uint8)
    np.save(folder / "speed.npy", pixels)
    inputs = load_inputs(str(folder / "speed.npy"))
    job = Job(refntk.preset(network), inputs.x1, options=Options(get=get, dtype="float32"))
    job.block(job.tiles[0])  # compilation is not what is measured
    path, kept = folder / "speed.h5", 0.0
    start = mark = time.perf_counter()
    with KernelWriter(path, describe_job(job, inputs), overwrite=True) as writer:
        missing = writer.missing()
        kept += time.perf_counter() - mark
        for tile in missing:
            block = job.block(tile)
            mark = time.perf_counter()
            writer.write(tile, block)
            kept += time.perf_counter() - mark
        mark = time.perf_counter()
        writer.finish()
    end = time.perf_counter()
    kept += end - mark
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    nbytes = path.stat().st_size
    path.unlink()
    print(f"tiles of {job.tile}, {len(missing)} of them; {nbytes / 1e6:.0f} MB")
    share = 100 * kept / (end - start)
    print(f"run {end - start:.1f} s, of which the store {kept:.2f} s: {share:.2f} %")
    print(f"store {nbytes / 1e6 / kept:.0f} MB/s; peak memory {peak:.0f} MB")
    print(f"h5py alone, in rows of tiles, and fsync: {_plain(path, job, nbytes):.0f} MB/s")
    path.unlink()
    (folder / "speed.npy").unlink()


def _plain(path: Path, job: Job, nbytes: int) -> float:
    """MB/s of h5py writing as many numbers in the same chunks, without checksums."""
    band = np.random.default_rng(1).random((job.tile, job.shape[1]), dtype=np.float32)
    start = time.perf_counter()
    with h5py.File(path, "w") as file:
        for name in job.get:
            chunks = (min(job.tile, job.shape[0]),) * 2
            values = file.create_dataset(name, job.shape, "f4", chunks=chunks)
            for top in range(0, job.shape[0], job.tile):
                values[top : top + job.tile] = band[: job.shape[0] - top]
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
    return nbytes / 1e6 / (time.perf_counter() - start)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network")
    parser.add_argument("count", type=int)
    parser.add_argument("size", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--get", action="append", choices=["nngp", "ntk"])
    given = parser.parse_args()
    kernels = tuple(given.get or ["nngp", "ntk"])
    measure(given.network, given.count, given.size, given.folder, kernels)
