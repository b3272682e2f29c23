"""One Kedro pipeline a stage; nodes are calls into the library."""
