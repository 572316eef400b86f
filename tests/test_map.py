"""The interactive map: what the file holds, and how it behaves in a real browser under real mouse events."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import Page, headless_browser

from semcse.map import MOST_FIELDS, NOT_STATED, OTHERS, map_html, write_map

SCRIPT = "</script><script>document.title = 'run'</script>"
IMAGE = "<img src=x onerror=\"document.title = 'run'\">"
TITLES = [
    "Granular flow in chutes",
    SCRIPT,
    IMAGE,
    "Étude of coral reefs",
    "Coral bleaching & heat",
    "@@TITLE@@ @@SCRIPT@@",
]
FIELDS = ["Physics", "Physics", "<b>Biology</b>", "<b>Biology</b>", None, None]
POINTS = np.array([[0, 0], [10, 0], [10, 10], [0, 10], [5, 5], [5, 8]], dtype=float)
NEIGHBOURS = np.array([[1, 4], [2, 0], [1, 3], [2, 4], [5, 3], [4, 2]])


def data_of(page: str) -> dict:
    return json.loads(re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[0])


def test_titles_and_fields_survive_the_file() -> None:
    data = data_of(map_html(POINTS, TITLES, FIELDS, NEIGHBOURS))
    assert data["titles"] == TITLES
    assert data["fields"] == ["<b>Biology</b>", "Physics", NOT_STATED]
    assert data["groups"] == ["<b>Biology</b>", "Physics", OTHERS]


def test_no_text_can_leave_its_place() -> None:
    page = map_html(POINTS, TITLES, FIELDS, NEIGHBOURS, heading=SCRIPT)
    assert page.count("<script") == page.count("</script>") == 2
    assert "<img" not in page
    assert "<b>" not in page
    assert "\u2028" not in map_html(POINTS[:1], ["\u2028 \ud800"], [None])


def test_the_page_names_no_address() -> None:
    assert not re.search(r"https?:|src=|href|url\(|@import|fetch\(", map_html(POINTS, ["a"] * 6, [None] * 6))


def test_rare_fields_share_grey() -> None:
    fields = [f"field {i:02d}" for i in range(MOST_FIELDS) for _ in range(2)] + ["rare"]
    data = data_of(map_html(np.zeros((len(fields), 2)), ["t"] * len(fields), fields))
    assert data["groups"] == [*sorted(set(fields) - {"rare"}), OTHERS]
    assert data["fields"] == sorted(set(fields))
    assert data["group"][-1] == MOST_FIELDS
    assert len({tuple(look) for look in data["looks"]}) == MOST_FIELDS + 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": POINTS[:5]}, r"needs points \(6, 2\)"),
        ({"fields": FIELDS[:2]}, "6 fields"),
        ({"neighbours": NEIGHBOURS[:2]}, r"neighbours \(6, k\)"),
        ({"neighbours": NEIGHBOURS + 1}, "indices from 0 to 5, got 1 to 6"),
        ({"neighbours": NEIGHBOURS - 1}, "got -1"),
        ({"neighbours": NEIGHBOURS * 1.0}, "float64"),
        ({"points": POINTS * np.array([np.nan, 1])}, "paper 0 is not finite"),
        ({"points": np.zeros((0, 2)), "titles": [], "fields": [], "neighbours": None}, "at least one paper"),
    ],
)
def test_bad_input_is_an_error(change: dict, message: str, tmp_path: Path) -> None:
    good = {"points": POINTS, "titles": TITLES, "fields": FIELDS, "neighbours": NEIGHBOURS}
    with pytest.raises(ValueError, match=message):
        write_map(tmp_path / "map.html", **{**good, **change})
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with headless_browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(browser: Page, tmp_path: Path) -> Page:
    browser.events.clear()
    browser.open(write_map(tmp_path / "map.html", POINTS, TITLES, FIELDS, NEIGHBOURS, heading="Six <papers>"))
    return browser


def position(page: Page, paper: int) -> tuple[float, float]:
    x, y = page.evaluate(f"paperMap.position({paper})")
    return x, y


def state(page: Page) -> dict:
    return dict(page.evaluate("paperMap.state()"))


def text(page: Page, selector: str) -> str:
    return str(page.evaluate(f"document.querySelector({json.dumps(selector)}).textContent"))


def listed(page: Page, selector: str) -> list[str]:
    return list(page.evaluate(f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.textContent)"))


def test_nothing_foreign_runs_and_nothing_is_fetched(page: Page) -> None:
    for paper in range(6):
        page.click(*position(page, paper))
    page.type_into("#search", "script")
    assert page.evaluate("document.title") == "Six <papers>"
    assert page.evaluate("document.querySelectorAll('img, b').length") == 0
    assert page.problems() == []
    assert [url for url in page.requests() if not url.startswith("file:")] == []


def test_the_policy_stops_a_script_that_got_in(page: Page) -> None:
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
    )
    assert page.evaluate("window.ran") is None
    assert "Content Security Policy" in page.problems()[0]


@pytest.mark.parametrize("paper", range(6))
def test_hover_shows_title_and_field_as_text(page: Page, paper: int) -> None:
    page.mouse("mouseMoved", *position(page, paper))
    assert text(page, "#tooltip strong") == TITLES[paper]
    assert text(page, "#tooltip span") == (FIELDS[paper] or NOT_STATED)
    assert page.evaluate("!document.querySelector('#tooltip').hidden")
    page.mouse("mouseMoved", *(place + 60.0 for place in position(page, paper)))
    assert page.evaluate("document.querySelector('#tooltip').hidden")


def test_points_are_drawn_where_they_are_said_to_be(page: Page) -> None:
    for paper, colour in [(0, [230, 159, 0]), (2, [0, 114, 178]), (4, [154, 154, 154])]:
        x, y = position(page, paper)
        pixel = page.evaluate(
            f"Array.from(document.querySelector('#canvas').getContext('2d').getImageData({x}, {y}, 1, 1).data)"
        )
        np.testing.assert_allclose(pixel[:3], 0.8 * np.array(colour) + 0.2 * 255, atol=3)


def test_drag_moves_all_points_alike(page: Page) -> None:
    before = [position(page, paper) for paper in range(6)]
    page.drag(430, 300, 120, -45)
    after = [position(page, paper) for paper in range(6)]
    np.testing.assert_allclose(np.array(after) - before, np.tile([120, -45], (6, 1)), atol=1e-3)
    assert state(page)["chosen"] == -1


def test_wheel_zooms_about_the_cursor(page: Page) -> None:
    there, other = position(page, 3), position(page, 1)
    page.mouse("mouseWheel", *there, deltaX=0, deltaY=-400)
    page.settle()
    np.testing.assert_allclose(position(page, 3), there, atol=1e-3)
    moved = np.linalg.norm(np.subtract(position(page, 1), there))
    assert moved / np.linalg.norm(np.subtract(other, there)) == pytest.approx(1.0015**400, rel=1e-3)


def test_buttons_and_keys_zoom_and_return(page: Page) -> None:
    start = state(page)
    page.click_on("#closer")
    assert state(page)["scale"] == pytest.approx(start["scale"] * 1.6)
    page.click_on("#farther")
    page.evaluate("document.querySelector('#canvas').focus()")
    page.key("+")
    page.key("ArrowLeft")
    assert state(page)["scale"] == pytest.approx(start["scale"] * 1.4)
    page.click_on("#whole")
    assert (state(page)["scale"], state(page)["x"]) == (start["scale"], start["x"])


def test_click_lists_the_nearest_papers_in_order(page: Page) -> None:
    page.click(*position(page, 4))
    assert text(page, "#chosen .title") == TITLES[4]
    assert listed(page, "#chosen ol li") == [TITLES[5], TITLES[3]]
    page.click_on("#chosen li:nth-child(2) button")
    assert state(page)["chosen"] == 3
    assert listed(page, "#chosen ol li") == [TITLES[2], TITLES[4]]
    page.click(20, 780)
    assert state(page)["chosen"] == -1
    assert page.evaluate("document.querySelector('#chosen').hidden")


def test_search_finds_words_without_case_or_accents(page: Page) -> None:
    page.type_into("#search", "CORAL")
    assert state(page)["found"] == [0, 0, 0, 1, 1, 0]
    assert listed(page, "#results li") == TITLES[3:5]
    assert text(page, "#results h2") == "2 found"
    page.type_into("#search", " etude")
    assert listed(page, "#results li") == [TITLES[3]]
    page.key("Enter")
    assert state(page)["chosen"] == 3
    np.testing.assert_allclose(position(page, 3), [(1200 - 320) / 2, 400], atol=1)


def test_legend_shows_chosen_fields_only(page: Page) -> None:
    assert listed(page, "#legend li span") == ["<b>Biology</b>", "Physics", OTHERS]
    assert listed(page, "#legend li small") == ["2", "2", "2"]
    page.click_on("#legend li:nth-child(2) button")
    assert state(page)["shownGroups"] == [1]
    page.mouse("mouseMoved", *position(page, 2))
    assert page.evaluate("document.querySelector('#tooltip').hidden")
    page.mouse("mouseMoved", *position(page, 1))
    assert not page.evaluate("document.querySelector('#tooltip').hidden")
    page.click_on("#legend li:nth-child(2) button")
    assert state(page)["shownGroups"] == []


def test_a_map_without_neighbours_of_one_paper(browser: Page, tmp_path: Path) -> None:
    browser.open(write_map(tmp_path / "one.html", POINTS[:1], TITLES[:1], FIELDS[:1]))
    browser.click(*position(browser, 0))
    assert text(browser, "#chosen .title") == TITLES[0]
    assert listed(browser, "#chosen ol li") == []


def test_narrow_screens_keep_map_and_panel_apart(browser: Page, tmp_path: Path) -> None:
    browser.open(write_map(tmp_path / "map.html", POINTS, TITLES, FIELDS, NEIGHBOURS), width=400, height=800)
    canvas, panel = (
        browser.evaluate(
            f"(r => [r.left, r.top, r.right, r.bottom])(document.querySelector('{s}').getBoundingClientRect())"
        )
        for s in ("#canvas", "aside")
    )
    assert canvas[2] <= 400
    assert canvas[3] <= panel[1] + 1
    assert canvas[3] - canvas[1] > 300
