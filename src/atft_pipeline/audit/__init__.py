"""Leak audit: rebuild the past with another future and compare it bit for bit."""
