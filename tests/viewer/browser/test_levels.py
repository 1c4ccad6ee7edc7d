"""Frames that are larger than the screen: levels of detail and parts, which nobody sees."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from browser_cases import painted

ROWS, COLUMNS, PHASES = 1801, 2203, 3
WAVES = 2 * np.pi / 100
MODULE = "async ([name, call, given]) => (await import(`./${name}.js`))[call](...given)"
VIEW = "(view) => import('./store.js').then(({set}) => set({view}))"
PICTURE = "() => document.querySelector('.view canvas').toDataURL()"


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Phases that differ, of waves along rows and columns with noise from pixel to pixel."""
    row, column = np.indices((ROWS, COLUMNS))
    waves = 400 * np.cos(WAVES * row) + 400 * np.cos(WAVES * column)
    noise = np.random.default_rng(0).integers(-20, 21, (PHASES, ROWS, COLUMNS))
    frames = 1000 + waves + noise + 100 * np.arange(PHASES)[:, None, None]
    path = tmp_path_factory.mktemp("large") / "large.npy"
    np.save(path, frames.astype(np.int16))
    return path


@pytest.fixture
def tab(large, show):
    return show(large)


def frame_of(path, phase=0):
    return np.load(path)[phase].astype(float)


def settled(tab):
    """Waits until what was asked for is drawn: the page draws once, in the next frame."""
    tab.evaluate(
        "() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))"
    )
    painted(tab)


def look(tab, zoom, u=0.5, v=0.5):
    tab.evaluate(VIEW, {"zoom": zoom, "u": u, "v": v})
    settled(tab)


def wanted(tab):
    """The parts that are drawn at the moment."""
    call = "async () => (await import('./scene.js')).framesWanted().map(({part}) => part)"
    return tab.evaluate(call)


def greys(tab):
    """The first pane as it is on the screen, (row, column)."""
    png = base64.b64decode(tab.evaluate(PICTURE).partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))[..., 0].astype(float)


def value_under(tab, u, v):
    """What the pane's heading says of the pixel at a place."""
    tab.evaluate(
        "(cursor) => import('./store.js').then(({set}) => set({cursor}))", {"u": u, "v": v}
    )
    row, column = int(v * ROWS), int(u * COLUMNS)
    return row, column


def test_a_level_is_chosen_by_how_many_pixels_fall_on_one_of_the_screen(tab):
    """The pane shows 2203 columns on about 700 pixels."""
    height, width = greys(tab).shape
    density = max(COLUMNS / width, ROWS / height)
    for zoom in (0.25, 0.6, 1.0, 1.5, 2.0, 8.0):
        look(tab, zoom)
        (part,) = wanted(tab)
        assert part["level"] == max(0, int(np.floor(np.log2(density / zoom))))
        assert part["rows"] * part["columns"] < 4 * (width + 150) * (height + 150)
        assert part["isWhole"] == (part["level"] > 0)


def test_zooming_in_and_out_asks_for_what_is_seen_and_never_for_all(context, show, large):
    asked = []
    context.on("request", lambda request: asked.append(request.url))
    tab = show(large)
    for zoom in (1.4, 3.0, 12.0, 3.0, 1.0):
        look(tab, zoom, u=0.3, v=0.7)
    asked = [one for one in asked if "/frames?" in one]
    assert any("rows=" in one for one in asked)
    assert any("level=1" in one for one in asked)
    assert all("level=" in one or "rows=" in one for one in asked)


@pytest.mark.parametrize("zoom", [1.0, 3.0, 20.0])
def test_the_picture_lies_where_its_pixels_do(tab, large, page, zoom):
    """How far waves are shifted against what should be there, in pixels of the scan."""
    u, v = 0.37, 0.61
    look(tab, zoom, u=u, v=v)
    seen = greys(tab)
    height, width = seen.shape
    scale = min(width / COLUMNS, height / ROWS) * zoom
    window = page.series("large.npy")["window"]
    column = COLUMNS * u + (np.arange(width) + 0.5 - width / 2) / scale - 0.5
    row = (ROWS * v + (np.arange(height) + 0.5 - height / 2) / scale - 0.5)[:, None]
    values = 1000 + 400 * (np.cos(WAVES * row) + np.cos(WAVES * column))
    greys_per_value = 255 / (window["high"] - window["low"])
    expected = (values - window["low"]) * greys_per_value
    inside = (row > 20) & (row < ROWS - 20) & (column > 20) & (column < COLUMNS - 20)
    inside &= (expected > 10) & (expected < 245)
    inside[-60:] = False  # The scale bar.
    for steepness in (np.sin(WAVES * row), np.sin(WAVES * column)):
        slope = (400 * WAVES * greys_per_value * steepness * np.ones_like(seen))[inside]
        shift = (slope * (seen - expected)[inside]).sum() / (slope**2).sum()
        assert abs(shift) < 0.1


@pytest.mark.parametrize("zoom", [1.0, 10.0])
def test_the_value_under_the_cursor_is_the_stored_one_at_every_zoom(tab, large, zoom):
    frame = np.load(large)[0]
    look(tab, zoom, u=0.4, v=0.45)
    for u, v in [(0.4001, 0.4502), (0.4103, 0.4391)]:
        row, column = value_under(tab, u, v)
        expect(tab.locator(".pane-value")).to_have_text(str(frame[row, column]))
    expect(tab.locator("#readout")).to_contain_text(str(frame[row, column]))
    tab.keyboard.press("ArrowRight")
    expect(tab.locator(".pane-value")).to_have_text(str(np.load(large)[1][row, column]))


def test_values_that_come_with_a_box_are_in_every_place_where_they_are_told(tab, large):
    """The pane's heading and the line below the images, whichever answer comes first."""
    marks = {
        "cursor": {"u": 0.52, "v": 0.52},
        "boxes": [{"u0": 0.5, "v0": 0.5, "u1": 0.54, "v1": 0.54}],
        "line": {"u0": 0.51, "v0": 0.51, "u1": 0.53, "v1": 0.53},
    }
    tab.evaluate("(marks) => import('./store.js').then(({set}) => set(marks))", marks)
    value = np.load(large)[0][int(0.52 * ROWS), int(0.52 * COLUMNS)]
    expect(tab.locator(".pane-value")).to_have_text(str(value))
    expect(tab.locator("#readout")).to_contain_text(f"Input {value}")


def test_the_keyboard_s_cross_reads_stored_values_out(tab, large):
    row, column = value_under(tab, 0.25, 0.75)
    tab.keyboard.press("Shift+ArrowRight")
    value = np.load(large)[0][row, column + 1]
    expect(tab.locator("#announcer")).to_have_text(f"Input {value}")


def test_a_line_has_stored_values(tab, large):
    """Between pixel centres of one row, at a zoom at which averages are drawn."""
    frame = frame_of(large)
    row = 900
    v = (row + 0.5) / ROWS
    line = {"u0": 0.2, "v0": v, "u1": 0.6, "v1": v}
    assert wanted(tab)[0]["level"] > 0
    tab.evaluate("(line) => import('./store.js').then(({set}) => set({line}))", line)
    expect(tab.locator("#profile-chart polyline")).to_have_count(1)
    values = tab.evaluate(
        """async ([series, line]) => {
          const {probeOf, boxAround, shown} = await import('./scene.js');
          const {loadFrame} = await import('./frames.js');
          const {within} = await import('./parts.js');
          const {interpolate} = await import('./geometry.js');
          const frame = await loadFrame(probeOf(shown()[0], boxAround(line)));
          return [0, 0.25, 0.5, 1].map((share) => interpolate(frame,
            within(frame.span, {u: line.u0 + (line.u1 - line.u0) * share, v: line.v0})));
        }""",
        [None, line],
    )
    places = (0.2 + 0.4 * np.array([0, 0.25, 0.5, 1])) * COLUMNS - 0.5
    assert values == pytest.approx(np.interp(places, np.arange(COLUMNS), frame[row]), abs=1e-6)


def test_a_magnified_box_is_in_full_detail_while_the_pane_is_not(tab):
    box = {"u0": 0.5, "v0": 0.5, "u1": 0.54, "v1": 0.54}
    tab.evaluate("(box) => import('./store.js').then(({set}) => set({boxes: [box]}))", box)
    settled(tab)
    pane, inset = wanted(tab)
    assert pane["level"] > 0
    assert inset["level"] == 0
    assert inset["span"]["u0"] <= 0.5 < 0.54 <= inset["span"]["u1"]
    assert inset["columns"] < COLUMNS / 8


def test_what_is_coarse_stays_up_until_what_is_fine_is_there(tab):
    """Answers that are held back: the picture never goes black, nor back to another phase."""
    tab.keyboard.press("ArrowRight")
    settled(tab)

    held, is_free = [], False

    def answer(route):
        if is_free:
            route.continue_()
        else:
            held.append(route)

    tab.context.route("**/frames?*rows=*", answer)
    picture, before = tab.evaluate(PICTURE), greys(tab)
    tab.evaluate(VIEW, {"zoom": 6, "u": 0.5, "v": 0.5})
    tab.wait_for_function(f"before => ({PICTURE})() !== before", arg=picture)
    coarse = greys(tab)
    is_free = True
    for route in held:
        route.continue_()
    settled(tab)
    fine = greys(tab)
    middle = (slice(60, -60), slice(60, -60))
    # The other phases are 16 greys brighter or darker.
    assert coarse[middle].mean() == pytest.approx(fine[middle].mean(), abs=2)
    assert np.abs(coarse - fine)[middle].mean() < 5
    assert np.abs(coarse - before)[middle].mean() > 20
    assert (coarse[middle] > 0).all()


@pytest.mark.parametrize("zoom", [1.0, 6.0])
def test_pictures_of_different_size_and_parts_are_subtracted_place_by_place(tmp_path, show, zoom):
    """A ramp less what it is at four times coarser pixels: linear interpolation has no error."""
    row, column = np.indices((1600, 2000))
    fine = (row + column).astype(np.int16)
    coarse = fine.reshape(400, 4, 500, 4).mean(axis=(1, 3))
    np.save(tmp_path / "fine.npy", fine)
    np.save(tmp_path / "coarse.npy", coarse.astype(np.int16))
    tab = show(tmp_path / "fine.npy", tmp_path / "coarse.npy")
    tab.evaluate(
        """() => import('./store.js').then(({set, state}) => {
          const [fine, coarse] = state.server.series;
          set({panes: [coarse.id, fine.id], mode: 'difference'});
        })"""
    )
    look(tab, zoom, u=0.52, v=0.47)
    parts = wanted(tab)
    assert [part["isWhole"] for part in parts] == [zoom == 1.0, True]
    seen = greys(tab)
    height, width = seen.shape
    scale = min(width / 2000, height / 1600) * zoom
    across = 0.52 + (np.arange(width) - width / 2) / (2000 * scale)
    down = 0.47 + (np.arange(height) - height / 2) / (1600 * scale)
    inside = ((down > 0.01) & (down < 0.99))[:, None] & ((across > 0.01) & (across < 0.99))[None]
    inside[:60], inside[-60:] = False, False  # Legend and scale bar.
    assert inside.sum() > 10_000
    assert seen[inside].max() <= 2


@pytest.mark.parametrize("level", [0, 1, 3])
def test_parts_meet_at_the_image_s_edges(show, level):
    tab = show()
    series = {"shape": [1, 1, 37, 50]}
    whole = tab.evaluate(MODULE, ["parts", "wholePart", [series, level]])
    assert (whole["rows"], whole["columns"]) == (-(-37 // 2**level), -(-50 // 2**level))
    assert whole["span"]["u1"] * 50 == pytest.approx(whole["columns"] * 2**level)
    assert whole["span"]["v1"] * 37 == pytest.approx(whole["rows"] * 2**level)
