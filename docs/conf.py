"""How the documentation is built: Sphinx, MyST and Furo, with every warning an error (make docs)."""

from importlib.metadata import version as installed_version

project = "prefq"
author = "The prefq authors"
copyright = "The prefq authors, Apache-2.0"
version = release = installed_version("prefq")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.doctest", "sphinx.ext.mathjax", "sphinx.ext.napoleon"]
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
default_role = "py:obj"

autodoc_default_options = {"members": True, "undoc-members": False}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = True
napoleon_google_docstring = False
napoleon_use_rtype = False

# A reference to a name of our own must lead somewhere. Other projects' inventories lie on the network, and a build
# should not depend on it, so their names stay plain text.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!prefq\b).*")]

# Examples in docstrings are run by pytest; this builder runs those of the pages.
doctest_test_doctest_blocks = ""
trim_doctest_flags = True

html_theme = "furo"
html_title = f"prefq {release}"
html_copy_source = False
html_show_sourcelink = False
