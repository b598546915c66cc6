"""Native code: machine code from LLVM text, a cache of it on disk, and the compiler of restricted-Python kernels."""
