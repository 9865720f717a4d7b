"""Hard visual attention: an agent that decides where to look on a cluttered canvas, and says which digit is there."""
