"""From images to kernels: validate, plan, tile, distribute, and apply the layers of the head."""
