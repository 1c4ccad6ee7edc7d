"""Looking: modes, playback, hands and keys, and what is read out."""

import math
import re

import numpy as np
import pytest
from playwright.sync_api import expect

from browser_cases import painted
from cinesr.imaging.files import load, save
from cinesr.imaging.phantom import make_phantom
from cinesr.imaging.phantom_canvas import FIELD_OF_VIEW_MM

GREY_AT = """({x, y}) => {
  const canvas = document.querySelector('.view canvas');
  const ratio = canvas.width / canvas.clientWidth;
  const pixel = canvas.getContext('2d').getImageData(x * ratio, y * ratio, 1, 1).data;
  return [pixel[0], pixel[1], pixel[2]];
}"""
WHOLE = "() => document.querySelector('.view canvas').toDataURL()"


@pytest.fixture
def compared(page, scans, show):
    """Low resolution, and its bicubic enlargement beside it."""
    tab = show(scans / "low.nii.gz")
    tab.keyboard.press("a")
    expect(tab.locator(".pane")).to_have_count(2)
    painted(tab)
    return tab


def point(tab, u, v, *, pane=0):
    """Where a place of the image, from 0 to 1 between its edges, lies on the page."""
    box = tab.locator(".view").nth(pane).bounding_box()
    wide, tall = FIELD_OF_VIEW_MM
    scale = min(box["width"] / wide, box["height"] / tall)
    x = box["x"] + box["width"] / 2 + (u - 0.5) * wide * scale
    return x, box["y"] + box["height"] / 2 + (v - 0.5) * tall * scale


def drag(tab, start, end, **options):
    tab.mouse.move(*start)
    tab.mouse.down(**options)
    tab.mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    tab.mouse.move(*end)
    tab.mouse.up(**options)


def test_the_value_and_the_position_under_the_cursor_are_those_of_the_file(scans, show):
    tab = show(scans / "low.nii.gz")
    cine = load(scans / "low.nii.gz")
    row, column, slice_index = 9, 21, 1
    rows, columns = cine.shape[2:]
    tab.mouse.move(*point(tab, (column + 0.5) / columns, (row + 0.5) / rows))
    expect(tab.locator(".pane-value")).to_have_text(str(cine.frame(0, slice_index)[row, column]))
    expected = cine.geometry.affine() @ [column, row, slice_index, 1]
    text = tab.locator("#readout").inner_text().replace("\u2212", "-")
    found = [float(part) for part in re.findall(r"[LPS] (-?[\d.]+)", text)]
    # A pixel of the screen is less than half a millimetre here.
    assert found == pytest.approx(expected[:3].tolist(), abs=0.5)


def test_panes_of_different_resolution_show_the_same_place(compared, page):
    tab = compared
    (low,) = (each for each in page.state()["series"] if each["kind"] == "input")
    (bicubic,) = (each for each in page.state()["series"] if each["kind"] == "bicubic")
    frames = [page.frames(each["id"], slice=1, time=0)[0] for each in (low, bicubic)]
    scale = bicubic["scale"]
    # Half a fine pixel beside the centre of pixel (row, column): inside the first fine one after.
    row, column = 11, 17
    u, v = ((index + 0.5 + 0.5 / scale) / 32 for index in (column, row))
    tab.mouse.move(*point(tab, u, v))
    values = tab.locator(".pane-value")
    fine = (row * scale + scale // 2, column * scale + scale // 2)
    expect(values.nth(0)).to_have_text(str(int(frames[0][row, column])))
    expect(values.nth(1)).to_have_text(str(int(frames[1][fine])))


def test_the_grey_on_the_screen_is_the_window_s(scans, show, page):
    tab = show(scans / "low.nii.gz")
    frame = load(scans / "low.nii.gz").frame(0, 1)
    window = page.series("low.nii.gz")["window"]
    view = tab.locator(".view").bounding_box()
    for row, column in [(9, 21), (16, 16), (28, 5)]:
        x, y = point(tab, (column + 0.5) / 32, (row + 0.5) / 32)
        shown = tab.evaluate(GREY_AT, {"x": x - view["x"], "y": y - view["y"]})
        share = (frame[row, column] - window["low"]) / (window["high"] - window["low"])
        assert shown == [pytest.approx(255 * np.clip(share, 0, 1), abs=1)] * 3


def test_the_divider_is_dragged_and_stepped(compared):
    tab = compared
    tab.keyboard.press("2")
    divider = tab.get_by_role("slider", name="Divider")
    expect(divider).to_have_attribute("aria-valuenow", "50")
    view = tab.locator(".view").bounding_box()
    middle = view["y"] + view["height"] / 2
    pictures = []
    for share in (0.95, 0.05):
        handle = divider.bounding_box()
        start = (handle["x"] + handle["width"] / 2, middle)
        drag(tab, start, (view["x"] + share * view["width"], middle))
        expect(divider).to_have_attribute("aria-valuenow", str(round(100 * share)))
        pictures.append(tab.evaluate(WHOLE))
    assert pictures[0] != pictures[1]
    divider.focus()
    tab.keyboard.press("ArrowRight")
    expect(divider).to_have_attribute("aria-valuenow", "7")


def test_blink_shows_one_and_then_the_other(compared):
    tab = compared
    tab.keyboard.press("3")
    dim = "() => [...document.querySelectorAll('.pane-part')].findIndex((n) => !n.matches('.dim'))"
    first = tab.evaluate(dim)
    tab.wait_for_function(f"(first) => ({dim})() === 1 - first", arg=first)
    tab.wait_for_function(f"(first) => ({dim})() === first", arg=first)


def test_blink_waits_for_a_key_where_motion_is_unwanted(compared):
    tab = compared
    tab.emulate_media(reduced_motion="reduce")
    tab.keyboard.press("3")
    shown = tab.locator(".pane-part:not(.dim) select")
    expect(shown).to_have_count(1)
    first = shown.get_attribute("aria-label")
    tab.wait_for_timeout(1600)
    assert shown.get_attribute("aria-label") == first
    tab.keyboard.press("x")
    expect(shown).not_to_have_attribute("aria-label", first)


def test_the_difference_of_a_series_from_itself_is_black(compared):
    tab = compared
    tab.keyboard.press("4")
    painted(tab)
    view = tab.locator(".view").bounding_box()
    centre = {"x": view["width"] / 2 + 20, "y": view["height"] / 2}
    other = tab.locator(".pane select").nth(1)
    own = tab.locator(".pane select").nth(0).input_value()
    before = tab.evaluate(WHOLE)
    other.select_option(own)
    tab.wait_for_function(f"(before) => ({WHOLE})() !== before", arg=before)
    assert tab.evaluate(GREY_AT, centre) == [0, 0, 0]


@pytest.mark.parametrize("speed", ["1", "0.5"])
def test_playback_runs_at_the_scan_s_own_rate(tmp_path, show, page, speed):
    save(make_phantom(size=32, slices=1, phases=20), tmp_path / "cine.nii.gz")
    tab = show(tmp_path / "cine.nii.gz")
    tab.locator("#speed").select_option(speed)
    step = page.series("cine.nii.gz")["frame_time_ms"] / float(speed)
    assert step == pytest.approx(45 / float(speed), rel=0.01)
    tab.locator("#stage canvas").focus()
    tab.keyboard.press("Space")
    seen = tab.evaluate(
        """(most) => new Promise((resolve) => {
          const seen = [];
          new MutationObserver(() => {
            const phase = parseInt(document.getElementById('phase-text').textContent) - 1;
            seen.push([performance.now(), phase]);
            if (seen.length === most) resolve(seen);
          }).observe(document.getElementById('phase-text'), {childList: true});
        })""",
        17,
    )
    times, phases = np.array(seen).T
    passed = np.mod(np.diff(phases), 20).sum()
    assert (times[-1] - times[0]) / passed == pytest.approx(step, rel=0.08)
    tab.keyboard.press("Space")
    expect(tab.locator("#play")).to_have_attribute("aria-label", "Play")


def test_the_keyboard_alone_is_enough(compared):
    tab = compared
    keys = tab.keyboard
    phase, slice_text = tab.locator("#phase-text"), tab.locator("#slice-text")
    keys.press("ArrowRight")
    expect(phase).to_have_text("2 / 3")
    keys.press("End")
    expect(phase).to_have_text("3 / 3")
    keys.press("ArrowRight")
    expect(phase).to_have_text("1 / 3")
    keys.press("ArrowDown")
    expect(slice_text).to_have_text("1 / 2")
    keys.press("Shift+ArrowRight")
    expect(tab.locator("#announcer")).to_contain_text("Input")
    keys.press("l")
    keys.press("Enter")
    for _ in range(5):
        keys.press("Shift+ArrowRight")
    keys.press("Enter")
    expect(tab.locator("#profile-legend li")).to_have_count(2)
    keys.press("?")
    expect(tab.get_by_role("dialog", name="Keys")).to_be_visible()
    keys.press("Escape")
    expect(tab.get_by_role("dialog", name="Keys")).to_be_hidden()
    for key, name in [("2", "Divider"), ("3", "Blink"), ("4", "Difference"), ("1", "Side by side")]:
        keys.press(key)
        expect(tab.get_by_role("radio", name=name)).to_have_attribute("aria-checked", "true")
    tab.get_by_role("radio", name="Side by side").focus()
    keys.press("ArrowRight")
    expect(tab.get_by_role("radio", name="Divider")).to_be_focused()
    expect(tab.get_by_role("radio", name="Divider")).to_have_attribute("aria-checked", "true")


def test_everything_can_be_reached_by_tab_and_shows_where_it_is(compared):
    tab = compared
    tab.evaluate("document.activeElement.blur()")
    reached = set()
    for _ in range(60):
        tab.keyboard.press("Tab")
        name, is_marked = tab.evaluate(
            """() => {
              const node = document.activeElement;
              const name = node === document.body ? '' : node.id || node.ariaLabel || node.text;
              const marked = getComputedStyle(node).outlineStyle !== 'none';
              return [name ?? node.textContent, marked || node.matches('.divider, .chip input')];
            }"""
        )
        assert is_marked or not name, f"{name} does not show that it has the focus"
        reached.add(name)
    wanted = {"open-files", "upscale", "theme", "fit", "overlay", "play", "phase", "slice", "speed"}
    assert wanted <= reached


def test_wheel_and_drags_zoom_move_and_set_the_window(scans, show):
    tab = show(scans / "low.nii.gz")
    cine = load(scans / "low.nii.gz")
    spot = ((8 + 0.5) / 32, (20 + 0.5) / 32)
    tab.mouse.move(*point(tab, *spot))
    before = tab.locator("#readout").inner_text()
    tab.mouse.wheel(0, -600)
    # What is under the cursor stays there.
    expect(tab.locator("#readout")).to_have_text(before, use_inner_text=True)
    x, y = point(tab, *spot)
    drag(tab, (x, y), (x + 120, y + 40))
    expect(tab.locator(".pane-value")).to_have_text(str(cine.frame(0, 1)[20, 8]))
    width = float(tab.locator("#width").input_value())
    drag(tab, (x, y), (x + 100, y), button="right")
    expect(tab.locator("#width")).not_to_have_value(f"{width:g}")
    ratio = float(tab.locator("#width").input_value()) / width
    assert ratio == pytest.approx(math.exp(1 / 3), rel=0.01)
    tab.keyboard.press("r")
    expect(tab.locator("#width")).to_have_value(f"{width:g}")


def test_wheel_and_right_drag_work_on_the_divider_too(compared):
    tab = compared
    tab.keyboard.press("2")
    painted(tab)
    box = tab.get_by_role("slider", name="Divider").bounding_box()
    spot = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    before = tab.evaluate(WHOLE)
    tab.mouse.move(*spot)
    tab.mouse.wheel(0, -600)
    tab.wait_for_function(f"before => ({WHOLE})() !== before", arg=before)
    width = tab.locator("#width").input_value()
    drag(tab, spot, (spot[0] + 100, spot[1]), button="right")
    expect(tab.locator("#width")).not_to_have_value(width)


def test_a_magnified_box_stays_as_it_is_while_the_image_is_zoomed(scans, show):
    tab = show(scans / "low.nii.gz")
    tab.keyboard.press("b")
    drag(tab, point(tab, 0.25, 0.25), point(tab, 0.45, 0.45))
    inset = """() => {
      const canvas = document.querySelector('.view canvas');
      const side = Math.floor(0.3 * Math.min(canvas.clientWidth, canvas.clientHeight));
      const data = canvas.getContext('2d').getImageData(
        canvas.width - side - 20, canvas.height - side - 20, side, side).data;
      let sum = 0;
      for (let at = 0; at < data.length; at += 1) sum = (sum * 31 + data[at]) % 1000000007;
      return sum;
    }"""
    tab.mouse.move(0, 0)
    whole, before = tab.evaluate(WHOLE), tab.evaluate(inset)
    tab.keyboard.press("+")
    tab.wait_for_function(f"(before) => ({WHOLE})() !== before", arg=whole)
    assert tab.evaluate(inset) == before
    tab.keyboard.press("ArrowRight")
    tab.wait_for_function(f"(before) => ({inset})() !== before", arg=before)


def test_a_line_draws_the_profile_of_every_series_in_millimetres(compared):
    tab = compared
    tab.keyboard.press("l")
    drag(tab, point(tab, 0.25, 0.5), point(tab, 0.75, 0.5))
    expect(tab.locator("#profile-legend li")).to_have_text(["Input", re.compile("Bicubic")])
    expect(tab.locator("#profile-chart polyline")).to_have_count(2)
    name = tab.locator("#profile-chart").get_attribute("aria-label")
    length, unit = re.search(r"line of ([\d.]+) (\w+)", name).groups()
    assert unit == "mm"
    assert float(length) == pytest.approx(FIELD_OF_VIEW_MM[0] / 2, rel=0.01)


def test_up_to_four_panes(compared):
    tab = compared
    panes = tab.locator(".pane")
    for _ in range(4):
        count = panes.count()
        tab.evaluate("document.getElementById('add-pane').click()")
        expect(panes).to_have_count(min(count + 1, 4))
    expect(tab.locator("#add-pane")).to_be_disabled()
    tab.get_by_role("button", name="Close pane 4").click()
    expect(tab.locator(".pane")).to_have_count(3)
