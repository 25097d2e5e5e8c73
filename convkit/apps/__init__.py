"""What the command line runs: the demo, training on a folder of images, and prediction."""
