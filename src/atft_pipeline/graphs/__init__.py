"""Monthly correlation graphs with a fixed number of neighbours."""
