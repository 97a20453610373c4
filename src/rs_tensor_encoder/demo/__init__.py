"""A small sample dataset, and a picture of one of its patches."""
