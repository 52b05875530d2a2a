"""The engines for graphics processors: displacement slices in CUDA C++, run with CuPy."""
