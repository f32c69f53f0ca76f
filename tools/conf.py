"""Sphinx settings of the site that `python tools/nb.py docs` builds."""
from nbdev.config import get_config

project = html_title = get_config().title
author = get_config().author
version = get_config().version
project_copyright = get_config().copyright  # Sphinx's `copyright` without Python's name
# the last brings MathJax into the site, which thus needs no network
extensions = ['myst_nb', 'sphinx_copybutton', 'sphinx-mathjax-offline']
myst_enable_extensions = ['dollarmath', 'amsmath', 'colon_fence', 'html_image']
myst_heading_anchors = 4
suppress_warnings = ['myst.header']  # a symbol's heading is of level 3 wherever it stands
nb_execution_mode = 'off'  # pages show the outputs that the notebooks were saved with
nb_render_markdown_format = 'myst'  # a table that a cell displays is a table on the page, too
nb_ipywidgets_js = {}  # widgets bring their own page; no script is fetched from elsewhere
html_theme = 'furo'
html_static_path = ['site']
html_css_files = ['site.css']
html_js_files = ['site.js']
html_favicon = 'site/icon.svg'
html_theme_options = {
    'light_css_variables': {
        'color-brand-primary': '#5b21b6',
        'color-brand-content': '#5b21b6',
        'color-api-name': '#5b21b6'},
    'dark_css_variables': {
        'color-brand-primary': '#c4b5fd',
        'color-brand-content': '#c4b5fd',
        'color-api-name': '#c4b5fd'},
}
html_show_sourcelink = False
