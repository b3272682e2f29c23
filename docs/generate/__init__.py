"""Pages of the site that are made from the code when it is built; nothing of them is written by hand."""
