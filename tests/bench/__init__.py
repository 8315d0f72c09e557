"""Benchmarks, all as ratios to V: signature checks a second of PyNaCl on one thread.

    ./run bench [--quick] [--json FILE] [NAME ...]

Machines are noisy, so no figure is a time: V is measured in every round, beside what it is compared
with, over the same messages. A figure is the median of its rounds; the spread is printed.
"""
