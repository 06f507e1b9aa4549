import pytest

from aurora_controller.kube.resource_version import is_at_least, ordinal


@pytest.mark.parametrize(
    ("seen", "wanted", "answer"),
    [
        pytest.param("10", "9", True, id="versions are numbers, not words"),
        pytest.param("9", "10", False, id="an older one is not enough"),
        pytest.param("10", "10", True, id="the same one is"),
        pytest.param("b7", "b7", True, id="equal words are equal"),
        pytest.param("b7", "10", None, id="a word and a number cannot be compared"),
        pytest.param("0", "10", None, id="zero means any and is no version"),
        pytest.param("007", "5", None, id="leading zeros are no number"),
        pytest.param("", "10", None, id="nothing seen yet"),
    ],
)
def test_versions_are_compared_as_numbers_or_not_at_all(seen: str, wanted: str, answer: bool | None) -> None:
    assert is_at_least(seen, wanted) is answer


def test_versions_beyond_64_bits_are_compared_too() -> None:
    assert is_at_least(str(2**70), str(2**70 - 1)) is True


@pytest.mark.parametrize("version", ["", "0", "-1", "1e3", " 1", "²"])
def test_what_is_no_decimal_number_has_no_place_in_the_order(version: str) -> None:
    assert ordinal(version) is None
