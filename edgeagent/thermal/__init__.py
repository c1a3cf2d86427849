"""What the board's readings mean for a build and for the inference. Pure: the standard library and nothing else."""
