"""What each switch of the training costs on this machine, measured with the real training step."""
