"""Parts of the page by themselves: where pixels lie, and what is held in memory."""

import numpy as np
import pytest
from playwright.sync_api import expect

from viewer_cases import running

FRAMES, SIDE = 30, 1024
MODULE = "async ([name, call, given]) => (await import(`./${name}.js`))[call](...given)"


@pytest.fixture
def call(show):
    tab = show()
    return lambda module, name, *given: tab.evaluate(MODULE, [module, name, given])


@pytest.mark.parametrize(
    ("longest", "length"), [(0.7, 0.5), (3, 2), (9.9, 5), (10, 10), (47, 20), (99, 50)]
)
def test_the_scale_bar_is_a_round_length_that_fits(call, longest, length):
    assert call("geometry", "roundLength", longest) == pytest.approx(length)


def test_values_between_pixel_centres_are_interpolated_linearly(call):
    frame = {"data": [0, 10, 20, 30], "rows": 2, "columns": 2, "slope": 2, "intercept": -5}

    def at(u, v):
        return call("geometry", "interpolate", frame, {"u": u, "v": v})

    assert at(0.25, 0.25) == -5
    assert at(0.75, 0.25) == 15
    assert at(0.5, 0.5) == pytest.approx(25)
    assert at(0.5, 0.25) == pytest.approx(5)
    # Beyond the outermost centres the border's pixel goes on.
    assert at(0.0, 0.0) == -5
    assert at(1.0, 1.0) == 55


def test_images_of_one_extent_share_their_edges(call):
    spacing = {"row": 2.0, "column": 1.5}
    coarse = {"shape": [1, 1, 30, 40], "spacing_mm": spacing}
    fine = {
        "shape": [1, 1, 120, 160],
        "spacing_mm": {name: step / 4 for name, step in spacing.items()},
    }
    size, view = {"width": 500, "height": 333}, {"zoom": 3.7, "u": 0.3, "v": 0.61}
    extents = [call("geometry", "extentOf", each) for each in (coarse, fine)]
    places = [call("geometry", "placeImage", each, extents[0], view, size) for each in extents]
    assert places[0] == pytest.approx(places[1])
    # The place in the middle of the view lies in the middle of the pane.
    place = places[0]
    assert place["x"] + view["u"] * place["width"] == pytest.approx(size["width"] / 2)
    assert place["y"] + view["v"] * place["height"] == pytest.approx(size["height"] / 2)


def test_without_spacing_a_result_covers_its_input(call):
    low = {"shape": [1, 1, 30, 40], "spacing_mm": None, "scale": None}
    high = {"shape": [1, 1, 120, 160], "spacing_mm": None, "scale": 4}
    assert call("geometry", "extentOf", low) == call("geometry", "extentOf", high)


def test_memory_is_bounded_and_used_again_without_mixing_frames(tmp_path, show, page):
    """60 MiB of frames go through, each of its own value."""
    frames = np.empty((FRAMES, SIDE, SIDE), np.uint16)
    frames[:] = 100 + np.arange(FRAMES)[:, None, None]
    frames[:, 0, 0] = 0
    np.save(tmp_path / "large.npy", frames)
    tab = show(tmp_path / "large.npy")
    # An array of three axes is a series of slices or of phases; either is walked along.
    series = page.series("large.npy")
    by_time = series["shape"][0] == FRAMES
    seen, most = tab.evaluate(
        """async ([id, count, byTime]) => {
          const {address, heldBytes, loadFrame} = await import('./frames.js');
          const seen = [];
          let most = 0;
          for (const round of [0, 1]) {
            for (let at = 0; at < count; at += 1) {
              const {data} = await loadFrame(byTime ? address(id, at, 0) : address(id, 0, at));
              seen.push([data[0], data[1], data.at(-1)]);
              most = Math.max(most, heldBytes());
            }
          }
          return [seen, most];
        }""",
        [series["id"], FRAMES, by_time],
    )
    expected = [[0, 100 + at, 100 + at] for at in range(FRAMES)]
    assert seen == expected * 2
    assert most <= 48 * 2**20


def test_the_page_says_when_its_server_is_gone(context, scans):
    tab = context.new_page()
    with running() as own:
        own.open(scans / "low.nii.gz")
        tab.goto(own.served.address)
        tab.locator("body.ready").wait_for()
        expect(tab.locator("#lost")).to_be_hidden()
    expect(tab.locator("#lost")).to_be_visible()
