"""One training run: data in, one published version and one report out."""
