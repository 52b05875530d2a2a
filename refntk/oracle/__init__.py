"""Certified answers to small cases, and judging another implementation by them.

`cases` lists networks and images, `judge` compares answers to a suite of them. Inside, `truth`
certifies kernels, `faults` knows the patterns of wrong answers, `verdicts` compares and reports,
and `sample` judges big matrices. Files are in `refntk.data.results.oracle_file`, the commands in
`refntk oracle`.
"""

from refntk.oracle.cases import Case, cases
from refntk.oracle.embedded import Judgement, judge

__all__ = ["Case", "Judgement", "cases", "judge"]
