"""What a model file costs and how well it answers: accuracy, time, memory, size; each in its own runtime."""
