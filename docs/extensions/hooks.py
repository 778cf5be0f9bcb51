"""What the site does that MkDocs does not: equations without scripts, notebooks as pages."""

import html
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File
from nbconvert import MarkdownExporter

ROOT = Path(__file__).parents[2]
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
NUMBER = re.compile(r"\\tag\{(.*?)\}")


def on_page_content(content, page, **_):
    """Formulas as MathML, which browsers draw by themselves."""
    return FORMULA.sub(lambda match: _equation(match, page.file.src_uri), content)


def _equation(match, page):
    formula = html.unescape(match[2]).strip()
    if match[1] == "span":
        return _mathml(formula, "inline", page)
    number = NUMBER.search(formula)
    mathml = _mathml(NUMBER.sub("", formula), "block", page)
    label = f'<span id="eq-{number[1]}">({number[1]})</span>' if number else ""
    return f'<div class="equation">{mathml}{label}</div>'


def _mathml(formula, display, page):
    mathml = convert(formula, display=display)
    if "\\" in mathml or ">&<" in mathml:
        raise PluginError(f"{page}: the formula {formula} has a command that cannot be converted.")
    return mathml


def on_files(files, config):
    """The notebooks as pages, and the results of the benchmarks: both lie beside these pages."""
    for path in (ROOT / "benchmarks" / "results").glob("*.png"):
        files.append(File.generated(config, str(path.relative_to(ROOT)), abs_src_path=str(path)))
    for path in ROOT.glob("notebooks/*.ipynb"):
        markdown, resources = MarkdownExporter().from_filename(
            path, resources={"unique_key": path.stem}
        )
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=markdown))
        for name, content in resources["outputs"].items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    return files


def on_page_markdown(markdown, page, **_):
    """Links to them and from them, as the repository has them, become the site's."""
    if page.file.src_uri.startswith("notebooks/"):
        return markdown.replace("](../docs/", "](../").replace(".ipynb)", ".md)")
    markdown = markdown.replace("](../benchmarks/", "](benchmarks/")
    return re.sub(r"\]\(\.\./notebooks/(\w+)\.ipynb\)", r"](notebooks/\1.md)", markdown)
