"""Benchmarks: ratios against peers in one run, since absolute figures of a shared machine mean little."""
