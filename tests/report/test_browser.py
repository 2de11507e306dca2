"""The page in a real browser: without complaint, at every width, by keyboard, in light and dark, and on paper."""

from __future__ import annotations

import base64
import io
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from infer.report import Report, save_report
from tests.report.conftest import reported

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="there is no chromium with chromedriver here"),
]
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
)
DESKTOP, PHONE = (1280, 900), (390, 844)

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def report() -> Report:
    """Of an example with 72 nuisance parameters."""
    return reported("measurement.json")


@pytest.fixture(scope="module")
def page(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its page in a file."""
    return save_report(tmp_path_factory.mktemp("report"), report, formats=())[0]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A browser of its own, with an empty profile."""
    options = Options()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    yield driver
    driver.quit()


@pytest.fixture
def visit(browser: webdriver.Chrome, page: Path) -> Open:
    """A function that opens the page on a screen of some size, in light or dark, with or without programs."""

    def opened(size: tuple[int, int] = DESKTOP, *, scheme: str = "light", programs: bool = True) -> webdriver.Chrome:
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not programs})
        browser.get(page.as_uri())
        return browser

    return opened


def picture(browser: webdriver.Chrome) -> np.ndarray[Any, Any]:
    """What is on the screen, with shape (height, width, 3)."""
    return np.asarray(imread(io.BytesIO(browser.get_screenshot_as_png())))[..., :3]


def shown(browser: webdriver.Chrome, table: str) -> list[str]:
    """Names in the rows of a table that can be seen, from top to bottom."""
    script = f"return [...document.querySelectorAll('#{table} tbody tr')].filter(r => r.offsetParent)"
    return list(browser.execute_script(f"{script}.map(r => r.querySelector('th').textContent)"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_page_shows_without_complaint(visit: Open, size: tuple[int, int], scheme: str) -> None:
    """Nothing on the console, nothing wider than the screen, something to see, in the colours asked for."""
    browser = visit(size, scheme=scheme)
    assert browser.get_log("browser") == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]
    pixels = picture(browser)
    assert pixels.shape[:2] == (size[1], size[0])
    ground = np.median(pixels, axis=(0, 1))
    assert np.all(ground > 0.9) if scheme == "light" else np.all(ground < 0.2)
    written = np.mean(np.abs(pixels - ground).max(axis=2) > 0.3)
    assert 0.01 < written < 0.5


def test_everything_fits_its_box_on_a_phone(visit: Open) -> None:
    """No text sticks out at the right, except in boxes that scroll by themselves."""
    browser = visit(PHONE)
    script = """
        return [...document.querySelectorAll("main *, header *, footer *")]
          .filter(e => !e.closest(".scroll, .vh, svg") && e.getBoundingClientRect().right > innerWidth + 1)
          .map(e => e.tagName + "." + e.className)
    """
    assert browser.execute_script(script) == []
    assert browser.execute_script("return document.querySelectorAll('.scroll').length") > 3


def test_filter_and_sort_by_keyboard(visit: Open, report: Report) -> None:
    """Tab to the filter, type, see fewer rows; tab to a heading, press enter, see another order."""
    browser = visit()
    assert report.impacts is not None
    every = [impact.name for impact in report.impacts.impacts]
    assert shown(browser, "impacts-table") == every[:30]
    field = browser.find_element(By.ID, "impacts-table-filter")
    before = browser.execute_script(
        "const f = [...document.querySelectorAll('a[href], button, input, [tabindex], summary')]; "
        "const at = f.indexOf(arguments[0]); f[at - 1].focus(); return at",
        field,
    )
    assert before > 0
    browser.switch_to.active_element.send_keys(Keys.TAB)
    assert browser.switch_to.active_element == field
    field.send_keys("ttbar_")
    assert shown(browser, "impacts-table") == [name for name in every if "ttbar_" in name]
    count = browser.find_element(By.CSS_SELECTOR, "#impacts .count")
    assert count.text == f"{len([n for n in every if 'ttbar_' in n])} of {len(every)} parameters"
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(Keys.DELETE)
    field.send_keys("no such parameter")
    assert shown(browser, "impacts-table") == []
    assert "no such name" in count.text
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(Keys.DELETE)
    assert shown(browser, "impacts-table") == every[:30]


def test_headings_sort(visit: Open, report: Report) -> None:
    """Enter on a heading sorts by size, enter again turns round; the heading says which way, to everybody."""
    browser = visit()
    assert report.impacts is not None
    heading = browser.find_element(By.XPATH, "//table[@id='impacts-table']//th[.='Pull']")
    assert heading.get_attribute("aria-sort") == "none"
    heading.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert heading.get_attribute("aria-sort") == "descending"
    pulls = {i.name: abs(i.pull) for i in report.impacts.impacts if i.pull is not None}
    largest = sorted(pulls, key=lambda name: -pulls[name])
    assert shown(browser, "impacts-table") == largest[:30]
    rank = browser.find_element(By.XPATH, "//table[@id='impacts-table']//th[.='Rank']")
    assert rank.get_attribute("aria-sort") == "none"
    heading.find_element(By.TAG_NAME, "button").send_keys(Keys.SPACE)
    assert heading.get_attribute("aria-sort") == "ascending"
    assert shown(browser, "impacts-table")[0] == largest[-1]
    name = browser.find_element(By.XPATH, "//table[@id='impacts-table']//th[.='Parameter']")
    name.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert name.get_attribute("aria-sort") == "ascending"
    focus = browser.execute_script(
        "document.querySelector('#fold').focus(); const s = getComputedStyle(document.querySelector('#fold')); "
        "return s.outlineStyle"
    )
    assert focus in ("solid", "auto")


def test_all_rows_on_demand(visit: Open, report: Report) -> None:
    """A button shows what a long table leaves out at first, and says so."""
    browser = visit()
    assert report.impacts is not None
    button = browser.find_element(By.CSS_SELECTOR, "#impacts .more")
    assert button.get_attribute("aria-expanded") == "false"
    button.send_keys(Keys.ENTER)
    assert len(shown(browser, "impacts-table")) == len(report.impacts.impacts)
    assert button.get_attribute("aria-expanded") == "true"


def test_colours_can_be_chosen(visit: Open) -> None:
    """The reader's choice beats the system's, and is remembered."""
    browser = visit(scheme="dark")
    assert np.all(np.median(picture(browser), axis=(0, 1)) < 0.2)
    button = browser.find_element(By.ID, "theme")
    assert button.text == "Light"
    button.send_keys(Keys.ENTER)
    assert np.all(np.median(picture(browser), axis=(0, 1)) > 0.9)
    visit(scheme="dark")
    assert np.all(np.median(picture(browser), axis=(0, 1)) > 0.9)
    browser.execute_script("localStorage.clear()")


def test_correlations_are_looked_up(visit: Open, report: Report) -> None:
    """A parameter's name brings the parameters it is correlated with, the strongest first."""
    browser = visit()
    fit, poi = report.fit, report.measurement.poi
    field = browser.find_element(By.ID, "lookup")
    field.send_keys(poi)
    items = [item.text for item in browser.find_elements(By.CSS_SELECTOR, "#lookup-found li")]
    row = fit.correlation[fit.parameters.position(poi)].copy()
    row[fit.parameters.position(poi)] = 0.0
    strongest = fit.parameters.names[int(np.argmax(np.abs(row)))]
    assert items[0].startswith(strongest)
    assert items[0].endswith(f"{abs(row).max():.2f}")


def test_sections_fold(visit: Open) -> None:
    """All at once by a button, one by one by keyboard; a link into a folded section opens it."""
    browser = visit()
    opened = "return document.querySelectorAll('main > section > details[open]').length"
    every = browser.execute_script("return document.querySelectorAll('main > section > details').length")
    assert browser.execute_script(opened) == every
    browser.find_element(By.ID, "fold").send_keys(Keys.ENTER)
    assert browser.execute_script(opened) == 0
    browser.find_element(By.CSS_SELECTOR, "nav a[href='#impacts']").send_keys(Keys.ENTER)
    browser.execute_async_script("setTimeout(arguments[0], 50)")
    assert browser.execute_script(opened) == 1
    browser.find_element(By.CSS_SELECTOR, "#budget summary").send_keys(Keys.ENTER)
    assert browser.execute_script(opened) == 2


def test_it_reads_without_programs(visit: Open, report: Report) -> None:
    """With JavaScript off, all rows are there, and no switch that would do nothing."""
    browser = visit(programs=False)
    assert report.impacts is not None
    try:
        rows = browser.find_elements(By.CSS_SELECTOR, "#impacts-table tbody tr")
        assert len(rows) == len(report.impacts.impacts)
        assert all(row.is_displayed() for row in rows)
        assert not any(e.is_displayed() for e in browser.find_elements(By.CSS_SELECTOR, "input, button"))
        assert len(browser.find_elements(By.CSS_SELECTOR, "thead button")) == 0
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_it_prints_in_full(visit: Open, report: Report) -> None:
    """Paper has several pages, all rows of the tables, and what was folded; afterwards, the screen is as before."""
    browser = visit(scheme="dark")
    browser.find_element(By.ID, "fold").send_keys(Keys.ENTER)
    assert report.impacts is not None
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": dark})
    rows = browser.find_elements(By.CSS_SELECTOR, "#impacts-table tbody tr")
    visible = "return arguments[0].filter(row => getComputedStyle(row).display !== 'none').length"
    assert browser.execute_script(visible, rows) == len(rows) == len(report.impacts.impacts)
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    printed = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert printed.startswith(b"%PDF-")
    assert pages(printed) > 4
    assert browser.execute_script("return document.querySelectorAll('main > section > details[open]').length") == 0
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def pages(document: bytes) -> int:
    """Pages of a PDF, as its page tree counts them, within compressed streams too."""
    found = document.count(b"/Type /Page") - document.count(b"/Type /Pages")
    for part in document.split(b"stream\r\n")[1:] + document.split(b"stream\n")[1:]:
        try:
            text = zlib.decompressobj().decompress(part)
        except zlib.error:
            continue
        found += text.count(b"/Type /Page") - text.count(b"/Type /Pages")
    return found
