"""Figures, not tests: `make bench` prints ratios against a named peer measured in the same run."""
