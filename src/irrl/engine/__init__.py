"""What every training is run by, whatever is learned."""
