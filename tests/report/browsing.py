"""What every page of the project must be in a browser."""

from pathlib import Path
from typing import Any

FOCUSABLE = "a[href], button, select, input, textarea, summary, [tabindex='0']"
GRAVE = ("serious", "critical")


def open_page(browser: Any, file: Path, width: int, scheme: str = "light") -> Any:
    """A page, of which every picture must load, without an error or a request."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, said, asked = context.new_page(), [], []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
    broken = page.eval_on_selector_all(
        "img",
        """async images => {
            await Promise.all(images.map(image => image.decode().catch(() => null)));
            return images.filter(image => !image.naturalWidth).map(image => image.alt);
        }""",
    )
    assert broken == []
    page.said = said  # for what happens later
    return page


def check_readable(page: Any) -> None:
    """Nothing is cut off at the side, and axe-core finds no serious fault."""
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    check_accessible(page)


def check_accessible(page: Any) -> None:
    """Check that axe-core finds no serious fault."""
    from axe_playwright_python.sync_playwright import Axe

    faults = Axe().run(page).response["violations"]
    grave = [
        (fault["id"], fault["nodes"][0]["html"][:200])
        for fault in faults
        if fault["impact"] in GRAVE
    ]
    assert grave == []


def check_keyboard(page: Any) -> None:
    """Tab reaches each link, button and field that can be seen, each once."""
    visible = page.eval_on_selector_all(
        FOCUSABLE,
        """found => {
            const shown = found.filter(one => one.checkVisibility() && !one.disabled
                && one.tabIndex >= 0);
            shown.forEach((one, number) => { one.dataset.reach = number; });
            return shown.length;
        }""",
    )
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    reached: set[str] = set()
    for _ in range(visible + 2):
        page.keyboard.press("Tab")
        number = page.evaluate("document.activeElement.dataset.reach ?? null")
        if number is not None:
            reached.add(number)
    assert len(reached) == visible
