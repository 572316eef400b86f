"""What each notebook shows: pictures and tables made from what a run stored. One module a notebook."""
