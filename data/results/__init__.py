"""Files of results: tables, answers, sampled kernels, matrices."""
