"""A local page to look at scans and their upscaled versions."""
