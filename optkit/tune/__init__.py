"""Searches the knobs of training: what may vary, how each choice is judged, and the study that keeps all trials."""
