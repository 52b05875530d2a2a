"""Certified answers to small cases, and judging another implementation by them.

`cases` lists networks and images, `truth` certifies their kernels, `faults` knows the patterns of
wrong answers, `verdicts` compares and reports, and `sample` judges big matrices. The files are in
`refntk.data.results.oracle_file`, the commands in `refntk oracle`.
"""
