"""Networks that optkit trains itself, one module each."""
