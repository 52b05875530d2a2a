"""Module paths from before the packages, kept importable: each warns and leads to the new place."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["FORMER", "FormerNames"]

FORMER = {
    "groups": "ops.groups",
    "layers": "network.layers",
    "arguments": "network.arguments",
    "table": "network.table",
    "reduction": "plan.reduction",
    "evaluate": "evaluation.evaluate",
    "head": "evaluation.head",
    "correlations": "evaluation.correlations",
    "images": "evaluation.images",
    "tiles": "evaluation.tiles",
    "residence": "evaluation.residence",
    "cluster": "evaluation.cluster",
    "finite_layers": "finite.layers",
    "finite_filter": "finite.filter",
    "finite_operator": "finite.operator",
    "finite_sampling": "finite.sampling",
    "finite_convergence": "finite.convergence",
    "bridge": "finite.bridge",
    "exact_symmetry": "symmetry.exact",
    "orbits": "symmetry.orbits",
    "flows": "symmetry.flows",
    "three_ways": "symmetry.three_ways",
    "augmentation": "symmetry.augmentation",
    "symmetry_study": "symmetry.study",
    "balls": "truth.balls",
    "certified": "truth.certified",
    "accuracy": "truth.accuracy",
    "verify": "truth.verify",
    "bench": "truth.bench",
    "lanczos": "data.kernels.lanczos",
    "data.folder": "data.images.folder",
    "data.containers": "data.images.containers",
    "data.idx": "data.images.idx",
    "data.numpy_files": "data.images.numpy_files",
    "data.hdf5": "data.images.hdf5",
    "data.imageset": "data.images.imageset",
    "data.inputs": "data.images.inputs",
    "data.preprocess": "data.images.preprocess",
    "data.assembly": "data.kernels.assembly",
    "data.growth": "data.kernels.growth",
    "data.journal": "data.kernels.journal",
    "data.kernel_array": "data.kernels.kernel_array",
    "data.kernel_cache": "data.kernels.kernel_cache",
    "data.kernel_format": "data.kernels.kernel_format",
    "data.kernel_pair": "data.kernels.kernel_pair",
    "data.kernel_reader": "data.kernels.kernel_reader",
    "data.kernel_record": "data.kernels.kernel_record",
    "data.kernel_seal": "data.kernels.kernel_seal",
    "data.kernel_writer": "data.kernels.kernel_writer",
    "data.shards": "data.kernels.shards",
    "data.store": "data.kernels.store",
    "data.check": "data.kernels.check",
    "data.export": "data.kernels.export",
    "data.overlap": "data.kernels.overlap",
    "data.catalogue": "data.datasets.catalogue",
    "data.download": "data.datasets.download",
    "data.fetch": "data.datasets.fetch",
    "data.answers": "data.results.answers",
    "data.convergence_file": "data.results.convergence_file",
    "data.oracle_file": "data.results.oracle_file",
    "data.result_table": "data.results.result_table",
    "data.matrix_file": "data.results.matrix_file",
    "cli.compute": "cli.look.compute",
    "cli.info": "cli.look.info",
    "cli.export": "cli.look.export",
    "cli.merge": "cli.look.merge",
    "cli.networks": "cli.look.networks",
    "cli.plot": "cli.look.plot",
    "cli.predict": "cli.learn.predict",
    "cli.learning_curve": "cli.learn.learning_curve",
    "cli.verify": "cli.compare.verify",
    "cli.accuracy": "cli.compare.accuracy",
    "cli.oracle": "cli.compare.oracle",
    "cli.converge": "cli.compare.converge",
    "cli.check": "cli.compare.check",
    "cli.bench": "cli.compare.bench",
    "cli.spectral": "cli.experiments.spectral",
    "cli.dynamics": "cli.experiments.dynamics",
    "cli.symmetry": "cli.experiments.symmetry",
    "cli.bridge": "cli.experiments.bridge",
    "cli.env": "cli.machine.env",
    "cli.progress": "progress",
    "cli.data": "cli.machine.data",
}
"""Where each module went; paths below `refntk`, old to new."""


class FormerNames(MetaPathFinder, Loader):
    """Find a module by the path that it had before it moved into a package.

    Importing such a path warns with `DeprecationWarning`, and gives the module at its new place.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for a former path, and None for any other."""
        if fullname.removeprefix("refntk.") not in FORMER:
            return None
        return ModuleSpec(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        """Put the module at the new place under the old path, too."""
        new = "refntk." + FORMER[module.__name__.removeprefix("refntk.")]
        warnings.warn(
            f"{module.__name__} is now {new}", DeprecationWarning, stacklevel=2
        )
        sys.modules[module.__name__] = import_module(new)

