"""Sphinx: the site of maskrcnn_scratch. ``make docs`` builds it.

Its own extensions are the modules of ``_ext``. Pages of lessons, claims and the API are
written when a build starts, into folders that git ignores.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

project = "maskrcnn_scratch"
html_title = "Mask R-CNN from scratch"
html_theme = "furo"
pygments_dark_style = "a11y-dark"  # furo's own underlines modules like links
html_static_path = ["_static"]
html_css_files = ["site.css"]
highlight_language = "text"  # commands and formulas; Python says that it is
html_copy_source = False
html_show_copyright = False
exclude_patterns = ["_build", "_ext", "explorer/*"]
extensions = ["myst_nb", "sphinx.ext.viewcode", "mathml", "site_pages"]

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 4  # links such as troubles.md#a-heading
nb_execution_mode = "off"  # the notebooks come executed; CI executes them again

python_maximum_signature_line_length = 80
add_module_names = False
toc_object_entries_show_parents = "hide"
viewcode_follow_imported_members = False  # nothing of the package is imported
