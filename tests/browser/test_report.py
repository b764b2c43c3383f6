"""A report in Chromium: on a wide and a narrow page, on light and dark paper."""

import re

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

INK_AND_PAPER = """element => {
  const paper = (node) => getComputedStyle(node).backgroundColor;
  let below = element;
  while (paper(below) === "rgba(0, 0, 0, 0)") below = below.parentElement;
  return [getComputedStyle(element).color, paper(below)];
}"""
#: The end of a line of a figure, in pixels of the window.
END = """line => {
  const end = line.getPointAtLength(line.getTotalLength()).matrixTransform(line.getScreenCTM());
  return [end.x, end.y];
}"""
PAGES = [(1280, "light"), (1280, "dark"), (400, "light"), (400, "dark")]


@pytest.fixture(params=PAGES, ids=lambda page: f"{page[0]}-{page[1]}")
def page(request, chromium, report):
    """The report, opened; at the end, no message on the console and no request was seen."""
    width, scheme = request.param
    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    faults = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda sent: faults.append(sent.url))
    page.goto(report.as_uri())
    assert faults.pop(0) == report.as_uri()
    yield page
    page.close()
    assert not faults


def column(page, table, number):
    cells = page.locator(f"#{table}-rows tr:visible > :nth-child({number})")
    return [text.split()[0] for text in cells.all_inner_texts()]


def luminance(color):
    # rgb(0, 95, 165), or color(srgb 0 0.37 0.65) after a mix.
    most = 1 if color.startswith("color(srgb ") else 255
    channels = [float(value) / most for value in re.findall(r"[\d.]+", color)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(color, paper):
    """The contrast ratio of WCAG 2."""
    dark, light = sorted((luminance(color), luminance(paper)))
    return (light + 0.05) / (dark + 0.05)


def test_the_page_fits_and_is_legible(page):
    for details in page.locator("details").all():
        details.evaluate("element => { element.open = true; }")
    wide = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1], "the page scrolls sideways"
    scheme = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (luminance(paper) < 0.1) == scheme
    for selector in (
        "h1", "h2", ".setting", "#warnings li", "summary", "dt", "dd", "th", "td", "td small",
        "code", "figcaption", "nav a", "#pivot-rows .s5",
    ):  # fmt: skip
        found = page.locator(selector).first
        assert contrast(*found.evaluate(INK_AND_PAPER)) >= 4.5, selector
    # Text and lines of figures.
    for selector, least in (("figure text", 4.5), ("figure .line path", 2)):
        looks = page.locator(selector).evaluate_all(
            "all => all.map(e => { const s = getComputedStyle(e); "
            "return s.stroke === 'none' ? s.fill : s.stroke; })"
        )
        assert looks
        assert min(contrast(look, paper) for look in looks if look.startswith("rgb")) >= least
    assert page.locator("text=<script>alert(1)</script>").count()


def test_columns_sort_in_both_directions(page):
    title = page.locator("#methods-table th[scope=col]", has_text="final loss")
    button, number = title.get_by_role("button"), title.evaluate("e => e.cellIndex + 1")
    assert title.get_attribute("aria-sort") == "none"
    button.click()
    assert title.get_attribute("aria-sort") == "ascending"
    values = [float(text) for text in column(page, "methods", number)]
    assert len(values) == 6
    assert values == sorted(values)
    button.click()
    assert title.get_attribute("aria-sort") == "descending"
    assert [float(text) for text in column(page, "methods", number)] == values[::-1]
    # Only one column is sorted, and texts are sorted too.
    page.locator("#methods-table th[scope=col]", has_text="method").get_by_role("button").click()
    assert title.get_attribute("aria-sort") == "none"
    names = page.locator("#methods-rows th").all_inner_texts()
    assert names == sorted(names)


def test_missing_values_come_last_in_both_directions(page):
    titles = page.locator("#runs-table th[scope=col]")
    status = titles.filter(has_text="status").get_by_role("button")
    status.click()
    status.click()
    assert column(page, "runs", 1)[0] == "damaged.h5", "it starts as the first row"
    loss = titles.filter(has_text=re.compile("^loss")).get_by_role("button")
    for _ in range(2):
        loss.click()
        assert column(page, "runs", 1)[-1] == "damaged.h5"


def test_rows_are_filtered_by_all_words(page):
    field = page.locator("#runs-table").get_by_label("Filter rows")
    said = page.locator("#runs-table [role=status]")
    assert said.inner_text() == "13 rows"
    field.fill("MEDIAN s2")
    assert said.inner_text() == "3 of 13 rows"
    assert all("s2" in name for name in column(page, "runs", 1))
    field.fill("nothing has this")
    assert said.inner_text() == "0 of 13 rows"
    field.fill("")
    assert said.inner_text() == "13 rows"


def test_the_keyboard_is_enough(page):
    page.keyboard.press("Tab")
    skip = page.locator("a.skip")
    assert skip.evaluate("e => e === document.activeElement")
    assert skip.bounding_box()["x"] >= 0, "the link is seen when it has the focus"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    field = page.locator("#pivot-table").get_by_label("Filter rows")
    for _ in range(40):
        page.keyboard.press("Tab")
        if field.evaluate("e => e === document.activeElement"):
            break
    page.keyboard.type("trimmed")
    assert page.locator("#pivot-table [role=status]").inner_text() == "1 of 2 rows"
    # Next comes the box of the table, which scrolls, then the button of the first column.
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    look = page.evaluate(
        "(() => { const e = document.activeElement; "
        "return [e.tagName, getComputedStyle(e).outlineStyle, e.closest('table') !== null]; })()"
    )
    assert look == ["BUTTON", "solid", True]
    page.keyboard.press("Enter")
    title = page.locator("#pivot-table th[scope=col]").first
    assert title.get_attribute("aria-sort") == "ascending"


def test_the_pointer_shows_values(page):
    tip = page.locator("#tip")
    assert tip.is_hidden()
    figure = page.locator("#loss_against_iterations")
    figure.scroll_into_view_if_needed()
    line = figure.locator(".line path").first
    # On a narrow page, the figure scrolls in its box.
    figure.locator(".scroll").evaluate(
        "(box, x) => box.scrollBy(x - 200, 0)", line.evaluate(END)[0]
    )
    x, y = line.evaluate(END)
    page.mouse.move(x - 1, y)
    assert tip.is_visible()
    assert "x = 40, y = " in tip.inner_text()
    assert figure.locator("svg.pointed .line.on").count() == 1
    place, width = tip.bounding_box(), page.viewport_size["width"]
    assert 0 <= place["x"] <= place["x"] + place["width"] <= width
    page.keyboard.press("Escape")
    assert tip.is_hidden()
    bars = page.locator("#phase_times")
    bars.scroll_into_view_if_needed()
    longest = bars.locator("[data-tip*='compute']").first
    longest.hover(force=True)
    assert re.search(r"compute: [0-9.]+ ms", tip.inner_text())
