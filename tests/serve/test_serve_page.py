"""The page in a real browser: Debian's Chromium."""

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("starlette", reason="starlette is not installed (extra serve)")

from pmm_jax.api import Model
from pmm_jax.search.gallery import Gallery
from pmm_jax.serve import limits
from pmm_jax.serve.app import make_app
from tests.report.browsing import check_accessible, check_keyboard, check_readable
from tests.serve.running import Running, running
from tests.serve.toys import COUNT, bomb, calibrated, encoded, pictures, toy_calibration

TOKEN = "0123456789abcdef"


@pytest.fixture(scope="module")
def server(model: Model, gallery: Gallery) -> Iterator[Running]:
    # Six of the results of the query of seed 5 are the same person's.
    [found] = gallery.search(model.embed(pictures(1, seed=5), 1), COUNT)
    middle = (found[5].distance + found[6].distance) / 2
    calibration = toy_calibration(model, (middle, middle))
    with running(make_app(calibrated(model, calibration), gallery)) as server:
        yield server


def open_page(browser: Any, server: Running, width: int = 1280, scheme: str = "light") -> Any:
    """The page, which says nothing on the console and asks nobody but its server."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, said, asked = context.new_page(), [], []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.set_default_timeout(15_000)
    page.goto(server.url)
    page.said, page.asked = said, asked
    return page


def check_quiet(page: Any, server: Running) -> None:
    """Nothing went wrong, and nobody else was asked."""
    assert page.said == []
    own = (f"{server.url}/", "blob:", "data:")
    assert [url for url in page.asked if not url.startswith(own)] == []


def upload(page: Any, data: bytes) -> None:
    page.set_input_files("#file", {"name": "crop.png", "mimeType": "image/png", "buffer": data})


def wait_for_pictures(page: Any, within: str) -> None:
    for number in range(1, page.locator(f"{within} li").count() + 1):
        page.locator(f"{within} li:nth-child({number})").scroll_into_view_if_needed()
        page.wait_for_selector(f"{within} li:nth-child({number}) img[src]")
    decode = "async all => { await Promise.all(all.map(one => one.decode())); return all.length; }"
    assert page.eval_on_selector_all(f"{within} img", decode) > 0


WIDE = pytest.param(1280, "light", marks=pytest.mark.slow)


@pytest.mark.parametrize(("width", "scheme"), [WIDE, (400, "dark")])
def test_a_crop_is_searched_filtered_and_explained(
    browser: Any, server: Running, width: int, scheme: str
) -> None:
    page = open_page(browser, server, width, scheme)
    page.locator("#about", has_text=f"{COUNT} images").wait_for()
    upload(page, encoded(pictures(1, seed=5)[0]))
    page.locator("#status", has_text="12 results, 6 of the same person").wait_for()
    results = page.locator("#results li")
    assert results.count() == COUNT
    assert "✓ same" in results.first.inner_text()
    assert "✗ different" in results.last.inner_text()
    warning = "Beware: the threshold was not calibrated on camera 2"
    assert warning in page.locator("#status").inner_text()
    wait_for_pictures(page, "#results")
    check_readable(page)
    check_keyboard(page)

    page.fill("#camera", "2")
    page.press("#camera", "Enter")
    page.locator("#status", has_text="4 results").wait_for()
    assert all("camera 2" in text for text in results.all_inner_texts())
    page.fill("#where", "id != 1")
    page.fill("#top", "2")
    page.click("#query button:text('Search')")
    page.locator("#status", has_text="2 results").wait_for()
    page.fill("#where", "nonsense")
    page.press("#where", "Enter")
    page.locator("#status.wrong", has_text="can't read the condition").wait_for()
    page.fill("#where", "")
    page.press("#where", "Enter")
    page.locator("#status", has_text="2 results").wait_for()

    page.focus("#results li:first-child button")
    page.keyboard.press("Enter")
    page.wait_for_selector("#pair table")
    assert page.locator("#pair td img").count() == 2
    assert page.locator("#pair th").all_inner_texts() == ["Mean of the map", "query", "result"]
    assert "distance" in page.locator("#pair-status").inner_text()
    check_accessible(page)
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.className") == "tile"
    # The console tells of the one refusal.
    assert [line for line in page.said if "400 (Bad Request)" not in line] == []
    assert len(page.said) == 1


def test_an_image_of_the_gallery_is_taken(browser: Any, server: Running) -> None:
    page = open_page(browser, server, 400)
    page.click("#browse")
    page.locator("#browsed", has_text=f"{COUNT} of {COUNT} shown").wait_for()
    wait_for_pictures(page, "#gallery")
    check_readable(page)
    page.click("#gallery li:nth-child(4) button")
    first = page.locator("#results li").first
    first.wait_for()
    assert page.locator("#asked figcaption").inner_text().endswith("003.png")
    assert "distance 0.000" in first.inner_text()
    # From there to the last result.
    page.locator("#results li").last.locator("button").click()
    page.wait_for_selector("#pair table")
    path = page.locator("#pair-status").inner_text().split(",")[0].rpartition("/")[2]
    page.click("#again")
    page.locator("#asked figcaption", has_text=path).wait_for()
    check_quiet(page, server)


def test_what_is_no_picture_is_said_to_be_none(browser: Any, server: Running) -> None:
    page = open_page(browser, server)
    wrong = page.locator("#status.wrong")
    page.click("#query button:text('Search')")
    page.locator("#status", has_text="Choose an image first").wait_for()
    for data, words in (
        (b"no picture", "it is no JPEG, PNG, BMP or WEBP image"),
        (bomb(50_000, 50_000), "pixels"),
    ):
        upload(page, data)
        wrong.filter(has_text=words).wait_for()
        assert page.locator("#results li").count() == 0
    asked = len(page.asked)
    page.evaluate(
        """size => {
            const files = new DataTransfer(), input = document.getElementById("file");
            files.items.add(new File([new Uint8Array(size)], "<b>big</b>.png"));
            input.files = files.files;
            input.dispatchEvent(new Event("change"));
        }""",
        limits.MAX_UPLOAD + 1,
    )
    wrong.filter(has_text="<b>big</b>.png has more than 16 MiB").wait_for()
    assert len(page.asked) == asked
    # It goes on from there.
    upload(page, encoded(pictures(1)[0]))
    page.locator("#status", has_text="12 results").wait_for()
    check_readable(page)


def test_only_the_page_s_own_script_runs(browser: Any, server: Running) -> None:
    page = open_page(browser, server)
    page.locator("#about", has_text="images").wait_for()
    page.evaluate(
        """() => {
            document.body.insertAdjacentHTML("beforeend", "<p onclick='document.title = 1'>");
            document.body.lastElementChild.click();
        }"""
    )
    assert page.title().startswith("Find a person")


def test_the_token_is_asked_for_once(browser: Any, model: Model, gallery: Gallery) -> None:
    with running(make_app(model, gallery, TOKEN)) as server:
        page = open_page(browser, server)
        page.wait_for_selector("#login[open]")
        check_accessible(page)
        page.fill("#token", "wrong")
        page.keyboard.press("Enter")
        page.locator("#login-status", has_text="That was not the token").wait_for()
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        page.locator("#about", has_text=f"{COUNT} images").wait_for()
        page.reload()
        page.locator("#about", has_text=f"{COUNT} images").wait_for()
        page.click("#browse")
        page.locator("#browsed", has_text=f"{COUNT} of {COUNT} shown").wait_for()
        wait_for_pictures(page, "#gallery")
        assert not page.locator("#login[open]").count()
        assert not any(TOKEN in url for url in page.asked)
