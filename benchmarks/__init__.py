"""What README and docs claim, as commands that reproduce it; results are committed with the environment they came from."""
