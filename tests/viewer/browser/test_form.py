"""The page's form: names for screen readers, two widths, two themes, nothing that jumps."""

import pytest
from playwright.sync_api import expect

from browser_cases import painted

NAMED = {
    "button",
    "link",
    "combobox",
    "slider",
    "spinbutton",
    "radio",
    "img",
    "image",
    "listbox",
    "option",
    "dialog",
    "textbox",
    "radiogroup",
    "toolbar",
    "progressbar",
    "group",
    "navigation",
}


def nameless(tab):
    """Roles of what a screen reader meets without a name, in Chromium's own accessibility tree."""
    session = tab.context.new_cdp_session(tab)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    return [
        node["role"]["value"]
        for node in nodes
        if not node.get("ignored")
        and node.get("role", {}).get("value") in NAMED - {"group"}
        and not node.get("name", {}).get("value", "").strip()
    ]


def test_everything_has_a_name(show, scans):
    tab = show(scans / "low.nii.gz")
    assert nameless(tab) == []
    tab.keyboard.press("a")
    expect(tab.locator(".pane")).to_have_count(2)
    for key in "234":
        tab.keyboard.press(key)
        assert nameless(tab) == []
    for key in "uw?":
        tab.keyboard.press(key)
        expect(tab.locator("dialog[open]")).to_be_visible()
        assert nameless(tab) == []
        tab.keyboard.press("Escape")


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_is_wider_than_the_page(show, scans, context, width):
    tab = context.new_page()
    tab.set_viewport_size({"width": width, "height": 844})
    tab = show(scans / "low.nii.gz", tab=tab)
    tab.keyboard.press("a")
    expect(tab.locator(".pane")).to_have_count(2)
    for key in ("1", "2", "4"):
        tab.keyboard.press(key)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
    outside = tab.evaluate(
        """() => [...document.querySelectorAll('button, select, input')]
          .filter((node) => node.offsetParent && getComputedStyle(node).visibility === 'visible')
          .filter((node) => {
            const box = node.getBoundingClientRect();
            return box.width && (box.left < -1 || box.right > innerWidth + 1);
          }).map((node) => node.id || node.ariaLabel || node.textContent)"""
    )
    assert outside == []


def test_the_series_are_in_a_drawer_where_it_is_narrow(show, scans, context):
    tab = context.new_page()
    tab.set_viewport_size({"width": 390, "height": 844})
    tab = show(scans / "low.nii.gz", scans / "truth.nii.gz", tab=tab)
    item = tab.locator("#series").get_by_role("option", name="truth.nii.gz")
    expect(item).to_be_hidden()
    tab.get_by_role("button", name="Series list").click()
    item.click()
    expect(item).to_be_hidden()
    expect(tab.locator(".pane select")).to_have_value(
        tab.locator("#series li").nth(1).get_attribute("data-id")
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_is_the_system_s_until_one_is_chosen(show, scans, context, scheme):
    tab = context.new_page()
    tab.emulate_media(color_scheme=scheme)
    tab = show(scans / "low.nii.gz", tab=tab)
    other = {"light": "dark", "dark": "light"}[scheme]
    root = tab.locator("html")
    expect(root).to_have_attribute("data-theme", scheme)
    surface = "getComputedStyle(document.querySelector('.surface')).backgroundColor"
    before = tab.evaluate(surface)
    tab.locator("#theme").click()
    expect(root).to_have_attribute("data-theme", other)
    assert tab.evaluate(surface) == before  # Images lie on the same dark in both.
    tab.reload()
    expect(root).to_have_attribute("data-theme", other)


def test_nothing_jumps_while_one_looks(show, scans):
    tab = show(scans / "low.nii.gz")
    places = """() => ['stage', 'phase', 'play', 'rate', 'overlay'].map((id) => {
      const box = document.getElementById(id).getBoundingClientRect();
      return [id, box.left, box.top, box.width, box.height];
    })"""
    before = tab.evaluate(places)
    view = tab.locator(".view").bounding_box()
    tab.mouse.move(view["x"] + view["width"] / 2, view["y"] + view["height"] / 2)
    tab.keyboard.press("Space")
    phase = tab.locator("#phase-text")
    for _ in range(3):
        expect(phase).not_to_have_text(phase.inner_text())
        assert tab.evaluate(places) == before
    tab.keyboard.press("Space")
    tab.keyboard.press("2")
    expect(tab.get_by_role("slider", name="Divider")).to_be_visible()
    painted(tab)
    assert tab.evaluate(places) == before
