"""Check that the wheel holds every file of the repository's package folders, and nothing else."""

from __future__ import annotations

import configparser
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def expected() -> set[str]:
    """Names in the wheel that the package folders of `setup.cfg` call for."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    pairs = config["options"]["package_dir"].split("\n")
    names = set()
    for package, folder in (map(str.strip, pair.split("=")) for pair in pairs if pair):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                inside = path.relative_to(ROOT / folder).as_posix()
                names.add(f"{package.replace('.', '/')}/{inside}")
    return names


def main(folder: Path) -> int:
    """Compare the one wheel in `folder` with the repository; return the exit status."""
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = expected()
    for name in sorted(wanted - found):
        print(f"{wheel.name} lacks {name}: list its package or its kind of file in setup.cfg")
    for name in sorted(found - wanted):
        print(f"{wheel.name} holds {name}, which is not in the repository")
    if found != wanted:
        return 1
    print(f"{wheel.name}: {len(found)} files, as in the repository")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
