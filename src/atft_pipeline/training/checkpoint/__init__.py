"""What a training leaves on disk and where it came from."""
