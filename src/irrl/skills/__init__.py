"""The second task: unsupervised skill discovery in four rooms."""
