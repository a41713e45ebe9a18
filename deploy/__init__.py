"""Everything needed to run doorstream somewhere: local stacks, image, sample campus."""
