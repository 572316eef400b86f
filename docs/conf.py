"""How Sphinx builds these pages: `make docs`. Nothing in the built pages is fetched from elsewhere."""

project = "SemCSE, the study"
author = "the SemCSE study"
copyright = "Apache-2.0"
extensions = ["myst_parser"]
myst_heading_anchors = 3
exclude_patterns = ["*.py"]
html_theme = "furo"
html_title = project
html_copy_source = False
html_show_sphinx = False
