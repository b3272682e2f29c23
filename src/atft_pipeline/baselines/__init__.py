"""Ridge and LightGBM on the rows of the model."""
