"""The run: from a baseline to verified, measured files and a report, in one folder, resumable at every stage."""
