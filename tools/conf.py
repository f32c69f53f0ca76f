"""Sphinx settings of the site that `python tools/nb.py docs` builds."""
from nbdev.config import get_config

project = html_title = get_config().title
author, version = get_config().author, get_config().version
extensions = ['myst_nb', 'sphinx_copybutton']
myst_enable_extensions = ['dollarmath', 'amsmath', 'colon_fence', 'html_image']
myst_heading_anchors = 4
suppress_warnings = ['myst.header']  # a symbol's heading is of level 3 wherever it stands
nb_execution_mode = 'off'  # pages show the outputs that the notebooks were saved with
nb_render_markdown_format = 'myst'  # a table that a cell displays is a table on the page, too
html_theme = 'furo'
html_show_sourcelink = False
