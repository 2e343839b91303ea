"""What a model file costs and how well it answers: accuracy, time, memory and size, each in its own runtime."""
