"""What README and docs claim, as commands that reproduce it; committed with the environment that it came from."""
