"""``report.html``: what a person wants to know about a version, on one page that loads nothing."""

from collections.abc import Iterable
from html import escape
from typing import Any, Final

from aurora_runtime.store.descriptor import Draft

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1f2937; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top; }
th { font-weight: 600; }
tr { border-bottom: 1px solid #e5e7eb; }
"""


def render(draft: Draft, *, plot: str) -> str:
    """A complete HTML document. ``plot`` is SVG that is safe already; all else is escaped here."""
    title = f"{draft.model} version {draft.version}"
    dataset = draft.lineage.dataset
    scores = [(name, f"{value:.6g}") for name, value in draft.metrics.items()]
    inputs = [
        ("dataset", draft.inputs.dataset),
        ("algorithm", draft.algorithm),
        ("task", draft.task),
        ("held-out share", draft.inputs.data.test_fraction),
        ("seed", draft.inputs.data.seed),
        *draft.hyperparameters.items(),
    ]
    stored = [
        ("format", draft.format if draft.joblib_reason is None else f"{draft.format}: {draft.joblib_reason}"),
        ("largest difference from scikit-learn", f"{draft.parity.max_abs_error:.3g} over {draft.parity.rows} rows"),
    ]
    lineage = [
        ("created", draft.created_at),
        ("run", draft.run_id),
        ("training job", f"{draft.trained_by.namespace}/{draft.trained_by.name}" if draft.trained_by.name else "none"),
        ("rows", f"{dataset.rows} ({dataset.train_rows} to train, {dataset.test_rows} held out)"),
        ("fingerprint of the rows", dataset.fingerprint),
        ("seconds to fit", draft.lineage.fit_seconds),
        ("Python", draft.lineage.python),
        ("Aurora", draft.lineage.code_version),
        *draft.lineage.libraries.items(),
    ]
    features = [(tensor.name, _number(tensor.minimum), _number(tensor.maximum)) for tensor in draft.signature.inputs]
    sections = [
        _section("Scores on held-out rows", _table(("metric", "value"), scores) + plot),
        _section("Inputs", _table(("input", "value"), inputs)),
        _section("Stored model", _table(("", ""), stored)),
        _section("Features", _table(("feature", "lowest", "highest"), features)),
        _section("Lineage", _table(("", ""), lineage)),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>\n" + "\n".join(sections) + "</body></html>\n"
    )


def _section(title: str, content: str) -> str:
    return f"<h2>{escape(title)}</h2>{content}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    header = "".join(f"<th>{escape(cell)}</th>" for cell in head) if any(head) else ""
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{f'<tr>{header}</tr>' if header else ''}{body}</table>"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
