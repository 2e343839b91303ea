"""The report: which file to ship, by which rule, and every figure with its doubt, for machines and people."""
