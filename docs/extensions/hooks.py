"""What the site does that MkDocs does not: equations without scripts, figures of benchmarks."""

import html
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

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
    """The results of the benchmarks, which lie beside the documentation."""
    for path in (ROOT / "benchmarks" / "results").glob("*.png"):
        files.append(File.generated(config, str(path.relative_to(ROOT)), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown, **_):
    """Links to them, as the repository has them, become the site's."""
    return markdown.replace("](../benchmarks/", "](benchmarks/")
