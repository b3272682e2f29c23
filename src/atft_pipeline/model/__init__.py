"""ATFT-GAT-FAN, one block a file."""
