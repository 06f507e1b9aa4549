from html.parser import HTMLParser

import numpy as np
import pytest

from aurora_runtime.contract import TrainedBy, TrainingInputs
from aurora_runtime.trainer import plots, report_page
from tests.unit.runtime.store.builders import a_draft


class Page(HTMLParser):
    """Tags, attributes and text of a page; knows whether every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_tells_scores_inputs_lineage_and_ranges() -> None:
    draft = a_draft(trained_by=TrainedBy(namespace="team", name="train-housing"))
    page = Page(report_page.render(draft, plot=""))
    for word in (
        "housing version 1",
        "r2",
        "0.8",
        "n_estimators",
        "team/train-housing",
        "income",
        "15",
        "scikit-learn",
    ):
        assert word in page.text
    assert page.open == []


def test_the_page_loads_nothing() -> None:
    plot = plots.predicted_against_true(np.arange(9.0), np.arange(9.0))
    page = Page(report_page.render(a_draft(), plot=plot))
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not {"src", "href", "onload"} & {name for name, _ in page.attributes}
    assert "url(" not in report_page.render(a_draft(), plot=plot)


def test_what_users_wrote_is_text_and_never_markup() -> None:
    evil = "<script>alert(1)</script>"
    draft = a_draft(
        hyperparameters={evil: evil},
        joblib_reason=evil,
        inputs=TrainingInputs(dataset=evil, algorithm=evil),
        trained_by=TrainedBy(namespace=evil, name=evil),
    )
    page = Page(report_page.render(draft, plot=""))
    assert "script" not in page.tags
    assert evil in page.text


def test_a_scatter_plot_stays_small_and_keeps_its_points_inside() -> None:
    truth = np.random.RandomState(0).normal(size=5000)
    page = Page(plots.predicted_against_true(truth, truth * 1.5))
    assert 500 <= page.tags.count("circle") <= 600
    places = [float(value or "") for name, value in page.attributes if name in ("cx", "cy")]
    assert min(places) >= 0
    assert max(places) <= 360
    assert page.open == []


def test_a_constant_target_can_be_plotted() -> None:
    assert "circle" in plots.predicted_against_true(np.ones(9), np.ones(9))


def test_a_confusion_matrix_counts_every_row_once() -> None:
    classes = np.array([3, 5, 9])
    truth, labels = np.array([3, 3, 5, 9, 9, 9]), np.array([3, 5, 5, 9, 9, 3])
    page = Page(plots.confusion_matrix(truth, labels, classes))
    assert page.tags.count("rect") == 9
    assert page.open == []
    numbers = page.text.replace("Confusion matrix of the held-out rows", "")
    for word in ("3", "5", "9", "true", "predicted"):
        assert word in numbers


@pytest.mark.parametrize("count", [31, 500])
def test_more_classes_than_can_be_read_have_no_plot(count: int) -> None:
    classes = np.arange(count)
    assert plots.confusion_matrix(classes, classes, classes) == ""
