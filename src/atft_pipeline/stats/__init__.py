"""Standard errors, bootstrap and corrections for many trials."""
