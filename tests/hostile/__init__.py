"""Generators of hostile inputs, and what checks the answers to them."""
