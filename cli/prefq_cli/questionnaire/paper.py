"""The sheet that people fill in: HTML that needs nothing else and prints on A4 and Letter, and plain text."""

import textwrap
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from prefq_cli.texts import displayable

if TYPE_CHECKING:
    from prefq.vocabulary import Question

WIDTH = 78  # of the plain text, in characters
BOXES = (("A", "A"), ("B", "B"), ("=", "about the same"), ("x", "both bad"))  # code in a code line, words on the sheet
HOW = (
    "Below are questions, and two answers to each. Read both, and tick which of the two you would rather get. There is "
    "no right or wrong: only your taste counts. If you like both as well, tick “about the same”; if you would want "
    "neither, “both bad”. Leave out what you do not want to answer."
)
FOR_TYPISTS = "For whoever enters this sheet, one code a question: A, B, = about the same, x both bad, - left out."

# A row of a table head comes again on every page, so a page that is separated still says whose it is.
STYLE = """
* { box-sizing: border-box; }
@page { margin: 12mm 14mm; }
body { font: 9.5pt/1.35 Arial, Helvetica, "Liberation Sans", sans-serif; color: #000; background: #fff;
  max-width: 190mm; margin: 8mm auto; padding: 0 5mm; }
h1 { font-size: 15pt; margin: 0 0 1mm; }
p { margin: 0 0 3mm; }
table.sheet { width: 100%; border-collapse: collapse; table-layout: fixed; }
thead td { padding: 0 0 3mm; }
.whose { display: flex; gap: 6mm; align-items: baseline; border-bottom: .4mm solid #000; padding-bottom: 1.5mm;
  white-space: nowrap; }
.whose .line { flex: 1; border-bottom: .2mm solid #000; height: 5mm; }
.question { break-inside: avoid; page-break-inside: avoid; }
.question > td { padding: 0 .4mm 4mm 0; }
.prompt { break-after: avoid; font-weight: 600; margin: 0 0 1.5mm; white-space: pre-wrap; overflow-wrap: anywhere; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 4mm; }
.response { border: .2mm solid #777; border-radius: 1mm; padding: 2mm 2.5mm; }
.response b { display: block; }
.response div { white-space: pre-wrap; overflow-wrap: anywhere; }
.ticks { display: flex; flex-wrap: wrap; gap: 1mm 9mm; margin-top: 2mm; }
.ticks span { white-space: nowrap; }
.ticks i { display: inline-block; width: 4mm; height: 4mm; border: .35mm solid #000; margin-right: 1.8mm;
  vertical-align: -.6mm; }
.codes { break-inside: avoid; border: .2mm solid #777; padding: 2mm 2.5mm; font-size: 9pt; }
.codes div { display: flex; flex-wrap: wrap; gap: 2mm 3mm; margin-top: 1.5mm; }
.codes span { white-space: nowrap; }
.codes u { display: inline-block; width: 7mm; border-bottom: .2mm solid #000; text-decoration: none; }
@media print { body { max-width: none; margin: 0; padding: 0; } }
"""


def html_sheet(questions: Sequence["Question"], questionnaire_id: str) -> str:
    """The sheet as one HTML page without scripts, fonts or pictures from elsewhere."""
    rows = "\n".join(_html_question(number, question) for number, question in enumerate(questions, 1))
    codes = "".join(f"<span>{number}&nbsp;<u>&nbsp;</u></span>" for number in range(1, len(questions) + 1))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Questionnaire {escape(questionnaire_id)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>Which answer would you rather get?</h1>
<p>{escape(HOW)}</p>
<table class="sheet">
<thead><tr><td><div class="whose"><span>Name or code:</span><span class="line"></span>
<span>Questionnaire {escape(questionnaire_id)}</span></div></td></tr></thead>
<tbody>
{rows}
</tbody>
</table>
<div class="codes">{escape(FOR_TYPISTS)}<div>{codes}</div></div>
</body>
</html>
"""


def text_sheet(questions: Sequence["Question"], questionnaire_id: str) -> str:
    """The sheet as plain text, for mail and for readers of screens."""
    parts = [
        f"WHICH ANSWER WOULD YOU RATHER GET?    Questionnaire {questionnaire_id}",
        _filled(HOW),
        "Name or code: ______________________________",
    ]
    for number, question in enumerate(questions, 1):
        parts.append("-" * WIDTH)
        parts.append(_filled(f"{number}. {displayable(question.prompt)}"))
        parts += [f"{side}:\n{_filled(displayable(text), '   ')}" for side, text in _sides(question)]
        parts.append("   ".join(f"[ ] {words}" for _, words in BOXES))
    codes = "  ".join(f"{number}__" for number in range(1, len(questions) + 1))
    parts += ["=" * WIDTH, _filled(FOR_TYPISTS), _filled(codes)]
    return "\n\n".join(parts) + "\n"


def _html_question(number: int, question: "Question") -> str:
    responses = "".join(
        f'<div class="response"><b>{side}</b><div dir="auto">{escape(displayable(text))}</div></div>'
        for side, text in _sides(question)
    )
    ticks = "".join(f"<span><i></i>{escape(words)}</span>" for _, words in BOXES)
    prompt = escape(displayable(question.prompt))
    return (
        f'<tr class="question"><td><div class="prompt" dir="auto">{number}. {prompt}</div>'
        f'<div class="pair">{responses}</div><div class="ticks">{ticks}</div></td></tr>'
    )


def _sides(question: "Question") -> tuple[tuple[str, str], tuple[str, str]]:
    return ("A", question.first.text), ("B", question.second.text)


def _filled(text: str, indent: str = "") -> str:
    """The text wrapped line by line, its own line ends kept."""
    return "\n".join(
        textwrap.fill(line, WIDTH, initial_indent=indent, subsequent_indent=indent) if line.strip() else ""
        for line in text.split("\n")
    )
