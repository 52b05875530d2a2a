"""What this machine has: processors, packages, data sets."""
