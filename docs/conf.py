"""How the documentation is built: Sphinx, MyST and Furo, with every warning an error (make docs)."""

import re
from importlib.metadata import version as installed_version

from sphinx.application import Sphinx

project = "prefq"
author = "The prefq authors"
copyright = "The prefq authors, Apache-2.0"
version = release = installed_version("prefq")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.doctest", "sphinx.ext.mathjax", "sphinx.ext.napoleon"]
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
default_role = "py:obj"

autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = True
napoleon_google_docstring = False
napoleon_use_param = False
napoleon_use_rtype = False

# A reference to a name of our own must lead somewhere. Other projects' inventories lie on the network, and a build
# should not depend on it, so their names stay plain text; so do private ones.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!prefq\b).*"), ("py:.*", r".*\._\w+")]

# Examples in docstrings are run by pytest; this builder runs those of the pages.
doctest_test_doctest_blocks = ""
trim_doctest_flags = True

html_theme = "furo"
html_title = f"prefq {release}"
html_copy_source = False
html_show_sourcelink = False


# NDArray[np.float64], as it is written in the source, rather than what Python makes of it.
_ARRAY = re.compile(r"~?(?:numpy\.)?ndarray\[tuple\[(?:~?typing\.)?Any, \.\.\.\], ~?(?:numpy\.)?dtype\[~?([\w.]+)\]\]")


def _shorten_arrays(
    _app: Sphinx, _what: str, _name: str, _value: object, _options: object, arguments: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    return tuple(text and _ARRAY.sub(r"~numpy.typing.NDArray[~\1]", text) for text in (arguments, returns))  # type: ignore[return-value]


def _skip_undescribed_fields(
    _app: Sphinx, _what: str, _name: str, value: object, _skip: bool, _options: object
) -> bool | None:
    """Leave out fields of named tuples, which the text of their class describes."""
    return True if str(getattr(value, "__doc__", "")).startswith("Alias for field number") else None


def setup(app: Sphinx) -> None:
    """Connect the two hooks above."""
    app.connect("autodoc-process-signature", _shorten_arrays)
    app.connect("autodoc-skip-member", _skip_undescribed_fields)
