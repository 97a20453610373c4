"""A layout proposed for a tree, and held against it."""
