"""Losses: small pure functions of score, target and mask."""
