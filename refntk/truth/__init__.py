"""What is proven about the numbers: certified kernels, accuracy, verification, speed."""
