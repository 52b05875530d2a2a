"""What is computed: groups, and how they act on images."""
