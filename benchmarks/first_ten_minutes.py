"""Do in a fresh clone what a new user does, and write docs/first-ten-minutes.md, with times.

    python benchmarks/first_ten_minutes.py

What the commands print on stdout is in the page as it is; progress bars and what pip says are not.
Needs git and, as the README's line does, python3 and a package index.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "first-ten-minutes.md"

STEPS = (
    ("Look at what was computed, and have it checked:",
     ".venv/bin/refntk info refntk-demo/gcnn-paper.h5",
     ".venv/bin/refntk check refntk-demo/gcnn-paper.h5"),
    ("Change a network, and see it:",
     ".venv/bin/refntk networks gcnn-paper > mine.toml",
     ".venv/bin/refntk compute mine.toml sample:digits -o mine.h5 --size 10 --get ntk",
     ".venv/bin/refntk plot gram mine.h5 -o mine.svg"),
    ("Learn from it, without computing it again:",
     ".venv/bin/refntk report mine.h5"),
    ("See that this machine computes what is promised:",
     ".venv/bin/refntk verify"),
)  # fmt: skip


def processor() -> str:
    """Name and number of the processors, and how busy they are."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    name = found[1] if found else "unknown processor"
    return f"{len(os.sched_getaffinity(0))} cores of {name}, load {os.getloadavg()[0]:.1f} before"


def transcript(folder: Path, command: str) -> tuple[str, float]:
    """Run a command of the page; return it with what it printed, and the seconds it took."""
    start = time.perf_counter()
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, stdout=subprocess.PIPE, text=True, check=True
    )
    seconds = time.perf_counter() - start
    print(f"{seconds:6.1f} s  {command}", file=sys.stderr)
    return f"$ {command}\n{done.stdout}[{seconds:.1f} s]\n", seconds


def main() -> None:
    """Clone, follow the page, and write it."""
    about = processor()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    first = next(line for line in readme.splitlines() if line.startswith("python3 "))
    with tempfile.TemporaryDirectory() as temporary:
        subprocess.run(["git", "clone", "-q", str(ROOT), temporary], check=True)
        total, parts = 0.0, []
        for words, *commands in (("The README's first line, in a fresh clone:", first), *STEPS):
            texts = []
            for command in commands:
                text, seconds = transcript(Path(temporary), command)
                texts.append(text)
                total += seconds
            parts.append(f"{words}\n\n```text\n{''.join(texts)}```\n")
    PAGE.write_text(
        "# The first ten minutes\n\n"
        f"What a new user does and sees, {total / 60:.1f} minutes in all, recorded by "
        "`benchmarks/first_ten_minutes.py`\n"
        f"({about}; installation and compilation included).\n\n" + "\n".join(parts),
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
