"""Build the documentation with Sphinx: ``make docs``.

The source folder is the root of the repository, so the same links work on the site and wherever
the Markdown files are shown. The site loads nothing from other hosts.
"""

import ast
import importlib
import inspect
import re
import sys
import typing
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # Document this tree, even if another one is installed.

from lad_mpi import __version__  # noqa: E402

project = "lad_mpi"
author = "The lad_mpi developers"
release = __version__
root_doc = "docs/index"
include_patterns = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**"]
exclude_patterns = [
    "docs/_templates",
    *(path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "docs"),
]
extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
# Absolute, because autosummary looks below the source folder and Sphinx beside this file.
templates_path = [str(ROOT / "docs" / "_templates")]

myst_heading_anchors = 3
autodoc_member_order = "groupwise"
autosummary_ignore_module_all = False
numpydoc_show_class_members = False
# No docstring has a parameter that does not exist.
numpydoc_validation_checks = {"PR02"}
numpydoc_validation_exclude = {r"^lad_mpi\.conformance\."}  # It takes `cls` for a bound argument.

html_theme = "furo"
html_title = f"lad_mpi {release}"
html_additional_pages = {"index": "redirect.html"}
html_math_renderer = "mathml"
html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False

logger = logging.getLogger(__name__)


def add_navigation(app, docname, source):
    """Make the links below each heading of the front page a part of the navigation."""
    if docname != root_doc:
        return
    for section in re.split(r"^## ", source[0], flags=re.MULTILINE)[1:]:
        caption = section.splitlines()[0]
        links = re.findall(r"^- \[(.*?)\]\((.*?)\)", section, flags=re.MULTILINE)
        pages = "\n".join(f"{text} <{target}>" for text, target in links)
        source[0] += f"\n\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{pages}\n```\n"


def unlink_folders(app, docname, source):
    """Leave out links to folders: a forge shows a folder, a site does not."""

    def text_of_folder(match):
        target = ROOT / Path(docname).parent / match[2]
        return match[1] if target.is_dir() else match[0]

    source[0] = re.sub(r"\[([^][]*)\]\(([^)#:]+)\)", text_of_folder, source[0])


def bare_signature(app, what, name, obj, options, signature, returned):
    """Leave out the arguments of protocols, which nobody constructs."""
    return ("", returned) if getattr(obj, "_is_protocol", False) else None


def skip_aliases(app, what, name, obj, skip, options):
    """Leave out type aliases, and fields of named tuples, which are parameters of the class."""
    is_field = (inspect.getdoc(obj) or "").startswith("Alias for field number")
    return True if is_field or typing.get_origin(obj) else None


def take_comments_along(app):
    """Give a package the ``#:`` comments of the constants that it re-exports."""
    for name in documented_modules():
        package = ModuleAnalyzer.for_module(name)
        for node in ast.walk(ast.parse(package.code)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("lad_mpi"):
                constants = {("", alias.name) for alias in node.names if alias.name.isupper()}
                comments = ModuleAnalyzer.for_module(node.module).find_attr_docs()
                package.find_attr_docs().update(
                    {key: comments[key] for key in constants & comments.keys()}
                )


def documented_modules():
    """Return the names of the modules that docs/api.rst lists."""
    page = (ROOT / "docs" / "api.rst").read_text()
    return re.findall(r"^   (lad_mpi\.\w+)$", page, flags=re.MULTILINE)


def public_names(module):
    """Yield the public names of a module, and those of methods and properties of its classes."""
    own = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    for name in getattr(module, "__all__", own):
        yield name
        if inspect.isclass(value := vars(module)[name]):
            for member, attribute in vars(value).items():
                if not member.startswith("_") and (
                    inspect.isroutine(attribute) or isinstance(attribute, property)
                ):
                    yield f"{name}.{member}"


def warn_of_undocumented(app, env):
    """Warn of each public name that the API reference does not show."""
    shown = env.get_domain("py").objects
    for module in documented_modules():
        for name in public_names(importlib.import_module(module)):
            if f"{module}.{name}" not in shown:
                logger.warning("%s.%s is public, but has no docstring", module, name)


def visit_math(self, node):
    """Write an equation as MathML, which browsers show without a script."""
    display = "block" if isinstance(node, nodes.math_block) else "inline"
    self.body.append(convert(node.astext(), display=display))
    raise nodes.SkipNode


def setup(app):
    """Connect all of this to Sphinx."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
    app.connect("builder-inited", take_comments_along)
    app.connect("source-read", add_navigation)
    app.connect("source-read", unlink_folders)
    app.connect("autodoc-process-signature", bare_signature)
    app.connect("autodoc-skip-member", skip_aliases)
    app.connect("env-check-consistency", warn_of_undocumented)
