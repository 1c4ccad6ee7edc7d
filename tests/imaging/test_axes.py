"""Which axis is which: arrays that say nothing, TIFFs that say it in ImageJ's or OME's words."""

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from cinesr.errors import UnfitImageError, UnreadableFileError
from cinesr.imaging import files, raster
from cinesr.imaging.axes import arranged, axes_of, in_order
from cinesr.imaging.cine import Cine, Derivation

FRAMES = np.random.default_rng(1).integers(0, 60000, (4, 3, 16, 12)).astype("uint16")
"""(time, slice, row, column)."""


def read(path: Path, axes: str | None = None) -> np.ndarray:
    (cine,) = raster.read(path, axes=axes)
    return np.asarray(cine.frames)


class TestArrays:
    @pytest.mark.parametrize(
        "shape",
        [
            (6, 9),
            (3, 200),
            (30, 256, 208),
            (30, 208, 256),
            (100, 64, 64),
            (100, 60, 80),
            (1, 6, 9),
            (30, 12, 64, 64),
            (25, 100, 64, 64),
            (1, 1, 6, 9),
        ],
    )
    def test_the_usual_order_is_taken_where_the_last_two_look_like_the_picture(self, shape) -> None:
        assert axes_of(shape, name="a") == {2: "yx", 3: "tyx", 4: "tzyx"}[len(shape)]

    @pytest.mark.parametrize(
        ("shape", "guess"),
        [
            ((48, 40, 5), "yxt"),
            ((256, 256, 30), "yxt"),
            ((256, 208, 3), "yxt"),
            ((256, 256, 12, 30), "yxzt"),
            ((12, 256, 256, 30), "zyxt"),
            ((30, 256, 256, 1), "zyxt"),
            ((1, 256, 256, 12), "zyxt"),
        ],
    )
    def test_anything_else_is_refused_with_the_way_out(self, tmp_path: Path, shape, guess) -> None:
        np.save(tmp_path / "a.npy", np.zeros(shape, "uint8"))

        with pytest.raises(UnfitImageError, match=r"a\.npy.*whose axes have no names") as error:
            files.load(tmp_path / "a.npy")

        assert f"--axes {guess} in the shell" in str(error.value)
        assert files.load(tmp_path / "a.npy", axes=guess).shape[2:] == (
            shape[guess.index("y")],
            shape[guess.index("x")],
        )

    @given(st.sampled_from(list(permutations("tzyx")) + list(permutations("tyx")) + ["yx", "xy"]))
    def test_any_order_is_arranged_and_taken_back(self, letters) -> None:
        axes = "".join(letters)
        lengths = dict(zip("tzyx", FRAMES.shape, strict=True))
        shape = [lengths[letter] for letter in axes]
        array = np.arange(np.prod(shape)).reshape(shape)

        frames = arranged(array, axes)

        for letter in "tzyx":
            assert frames.shape["tzyx".index(letter)] == (lengths[letter] if letter in axes else 1)
        at = {"t": 2, "z": 1, "y": 7, "x": 11}
        place = tuple(at[letter] if letter in axes else 0 for letter in "tzyx")
        assert frames[place] == array[tuple(at[letter] for letter in axes)]
        np.testing.assert_array_equal(in_order(frames, axes), array)

    @pytest.mark.parametrize("axes", ["tzyx", "yxzt", "xyzt", "zyxt", "TZYX"])
    def test_an_array_comes_back_in_its_own_order(self, tmp_path: Path, axes: str) -> None:
        array = FRAMES.transpose(["tzyx".index(letter) for letter in axes.lower()])
        np.save(tmp_path / "a.npy", array)

        cine = files.load(tmp_path / "a.npy", axes=axes)
        np.testing.assert_array_equal(cine.frames, FRAMES)
        high = cine.with_frames(
            FRAMES.repeat(2, axis=2).repeat(2, axis=3),
            cine.geometry.upscaled(2),
            Derivation("x2", ""),
        )
        files.save(high, tmp_path / "b.npy")

        np.testing.assert_array_equal(files.load(tmp_path / "b.npy", axes=axes).frames, high.frames)
        assert np.load(tmp_path / "b.npy").ndim == 4

    @pytest.mark.parametrize("axes", ["tzy", "yxc", "tyyx", "yx", "tzyx", "", "zt"])
    def test_names_that_do_not_fit_are_refused(self, tmp_path: Path, axes: str) -> None:
        np.save(tmp_path / "a.npy", np.zeros((5, 8, 9), "uint8"))

        with pytest.raises(UnfitImageError, match="axes were named"):
            files.load(tmp_path / "a.npy", axes=axes)

    def test_named_slices_are_slices(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", FRAMES[0])

        assert files.load(tmp_path / "a.npy").shape == (3, 1, 16, 12)
        assert files.load(tmp_path / "a.npy", axes="zyx").shape == (1, 3, 16, 12)

    def test_files_in_a_folder_get_the_named_axes(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", FRAMES[0].transpose(1, 2, 0))
        np.save(tmp_path / "b.npy", FRAMES[1].transpose(1, 2, 0))

        first, second = files.open_cines(tmp_path, axes="yxz")

        np.testing.assert_array_equal(np.asarray(first.frames)[0], FRAMES[0])
        np.testing.assert_array_equal(np.asarray(second.frames)[0], FRAMES[1])


def imagej_by_hand(path: Path, frames: np.ndarray, description: str, order: str = "<") -> Path:
    """As ImageJ saves stacks: one directory, the frames one after another behind its pixels."""
    tifffile.imwrite(
        path,
        frames[:1].astype(frames.dtype.newbyteorder(order)),
        byteorder=order,
        description=description,
        metadata=None,
        photometric="minisblack",
    )
    with tifffile.TiffFile(path) as written:
        offset = written.pages[0].dataoffsets[0]
    with path.open("ab") as file:
        file.truncate(offset + frames[0].nbytes)
        file.seek(0, 2)
        file.write(frames[1:].astype(frames.dtype.newbyteorder(order)).tobytes())
    return path


class TestTiff:
    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
    def test_frames_behind_one_directory_are_read(self, tmp_path: Path, dtype, order) -> None:
        frames = (FRAMES[:, 0] % 251).astype(dtype)
        words = "ImageJ=1.54f\nimages=4\nframes=4\nloop=false\n"
        path = imagej_by_hand(tmp_path / "a.tif", frames, words, order)

        (cine,) = raster.read(path)

        assert cine.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(np.asarray(cine.frames), frames[:, None])

    @pytest.mark.parametrize("one_directory", [True, False])
    @pytest.mark.parametrize("axes", ["TZYX", "TYX", "ZYX", "YX"])
    def test_imagej_hyperstacks(self, tmp_path: Path, axes: str, one_directory: bool) -> None:
        stack = FRAMES[0 if "T" not in axes else slice(None), ...]
        stack = stack if "Z" in axes else stack[..., 0, :, :]
        tifffile.imwrite(
            tmp_path / "a.tif",
            stack,
            imagej=True,
            metadata={"axes": axes},
            truncate=one_directory,
        )

        expected = arranged(stack, axes.lower())
        np.testing.assert_array_equal(read(tmp_path / "a.tif"), expected)

    @pytest.mark.parametrize("bigtiff", [True, False])
    @pytest.mark.parametrize("byteorder", ["<", ">"])
    @pytest.mark.parametrize("axes", ["TZYX", "ZTYX", "TYX", "ZYX", "TZCYX", "CTZYX"])
    def test_ome_tiff(self, tmp_path: Path, axes: str, byteorder: str, bigtiff: bool) -> None:
        stack = FRAMES.transpose(1, 0, 2, 3) if axes.startswith("Z") else FRAMES
        stack = {"TYX": FRAMES[:, 0], "ZYX": FRAMES[0]}.get(axes, stack)
        if "C" in axes:
            stack = np.expand_dims(stack, axes.index("C"))
        path = tmp_path / "a.ome.tif"
        tifffile.imwrite(
            path,
            stack,
            ome=True,
            metadata={"axes": axes},
            byteorder=byteorder,
            bigtiff=bigtiff,
            photometric="minisblack",
        )

        if bigtiff and byteorder == ">":
            with pytest.raises(UnfitImageError, match="a BigTIFF in big-endian order"):
                raster.read(path)
            return
        expected = {"TYX": FRAMES[:, :1], "ZYX": FRAMES[:1]}.get(axes, FRAMES)
        np.testing.assert_array_equal(read(path), expected)

    def test_pages_of_an_ome_tiff_in_an_order_of_their_own(self, tmp_path: Path) -> None:
        places = [(t, z) for z in (2, 0, 1) for t in (3, 1, 0, 2)]
        data = "".join(
            f'<TiffData IFD="{page}" FirstZ="{z}" FirstT="{t}" PlaneCount="1"/>'
            for page, (t, z) in enumerate(places)
        )
        words = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
            '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
            f'SizeX="12" SizeY="16" SizeZ="3" SizeC="1" SizeT="4">{data}</Pixels></Image></OME>'
        )
        pages = np.stack([FRAMES[place] for place in places])
        tifffile.imwrite(
            tmp_path / "a.tif", pages, description=words, metadata=None, photometric="minisblack"
        )

        np.testing.assert_array_equal(read(tmp_path / "a.tif"), FRAMES)

    @pytest.mark.parametrize("truncate", [True, False])
    @pytest.mark.parametrize("axes", ["TZYX", "ZTYX", None])
    def test_tifffile_names_axes_in_a_description(self, tmp_path: Path, axes, truncate) -> None:
        stack = FRAMES.transpose(1, 0, 2, 3) if axes == "ZTYX" else FRAMES
        tifffile.imwrite(
            tmp_path / "a.tif",
            stack,
            metadata={"axes": axes} if axes else {},
            truncate=truncate,
            photometric="minisblack",
        )

        np.testing.assert_array_equal(read(tmp_path / "a.tif"), FRAMES)

    def test_plain_pages_are_phases_or_what_the_user_names(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", FRAMES[0], metadata=None, photometric="minisblack")

        assert read(tmp_path / "a.tif").shape == (3, 1, 16, 12)
        np.testing.assert_array_equal(read(tmp_path / "a.tif", axes="zyx"), FRAMES[:1])
        for wrong in ("yx", "tzyx", "yxt"):
            with pytest.raises(UnfitImageError, match="axes were named"):
                raster.read(tmp_path / "a.tif", axes=wrong)

    @pytest.mark.parametrize("how", ["imagej", "ome"])
    def test_channels_are_refused(self, tmp_path: Path, how: str) -> None:
        tifffile.imwrite(
            tmp_path / "a.tif",
            FRAMES[:, :2],
            metadata={"axes": "TCYX"},
            photometric="minisblack",
            **{how: True},
        )

        with pytest.raises(UnfitImageError, match=r"a\.tif: 2 channels; expected one"):
            raster.read(tmp_path / "a.tif")

    def test_several_values_per_pixel_are_refused(self, tmp_path: Path) -> None:
        for name, how in (("a.tif", "separate"), ("b.tif", "contig")):
            stack = FRAMES[:, 0] if how == "separate" else FRAMES[:, 0].transpose(1, 2, 0)
            tifffile.imwrite(
                tmp_path / name, stack, planarconfig=how, photometric="minisblack", metadata=None
            )
            with pytest.raises(UnfitImageError, match=rf"{name}: 4 values per pixel in one page"):
                raster.read(tmp_path / name)

    def test_a_volume_in_one_page_is_refused(self, tmp_path: Path) -> None:
        volume = np.zeros((3, 32, 32), "uint8")
        tifffile.imwrite(
            tmp_path / "a.tif", volume, volumetric=True, tile=(1, 16, 16), photometric="minisblack"
        )

        with pytest.raises(UnfitImageError, match=r"a\.tif: 3 planes in one page"):
            raster.read(tmp_path / "a.tif")

    def test_kinds_of_one_directory_that_are_not_read_are_refused(self, tmp_path: Path) -> None:
        tifffile.imwrite(
            tmp_path / "a.stk", FRAMES[0, 0], extratags=[(33629, 4, 1, 5, True)], metadata=None
        )

        with pytest.raises(UnfitImageError, match=r"a\.stk: a MetaMorph stack"):
            raster.read(tmp_path / "a.stk")

    def test_frames_that_were_announced_and_are_not_there(self, tmp_path: Path) -> None:
        words = "ImageJ=1.54f\nimages=4\nframes=4\n"
        path = imagej_by_hand(tmp_path / "a.tif", FRAMES[:, 0], words)
        path.write_bytes(path.read_bytes()[:-100])

        with pytest.raises(
            UnreadableFileError, match=r"a\.tif .* tells of 4 frames and it holds 3"
        ):
            raster.read(path)

    def test_a_description_left_over_from_another_file_is_said(self, tmp_path: Path) -> None:
        tifffile.imwrite(
            tmp_path / "a.tif",
            FRAMES[0],
            description="ImageJ=1.54f\nimages=60\nslices=12\nframes=5\n",
            metadata=None,
            photometric="minisblack",
        )

        (cine,) = raster.read(tmp_path / "a.tif")

        assert cine.shape == (3, 1, 16, 12)
        assert "tells of 60 frames, and there are 3 pages" in cine.notes[0]

    def test_compressed_frames_behind_one_directory_are_refused(self, tmp_path: Path) -> None:
        tifffile.imwrite(
            tmp_path / "a.tif",
            FRAMES[0, 0],
            description=json.dumps({"shape": [5, 16, 12]}),
            metadata=None,
            compression="zlib",
        )

        with pytest.raises(UnfitImageError, match="5 frames behind one directory, compressed"):
            raster.read(tmp_path / "a.tif")

    def test_frames_of_an_ome_tiff_in_other_files_are_refused(self, tmp_path: Path) -> None:
        words = (
            "<OME><Image><Pixels DimensionOrder='XYZCT' SizeX='12' SizeY='16' SizeZ='3' SizeC='1' "
            "SizeT='4' Type='uint16'><TiffData IFD='0' FirstT='0' PlaneCount='3'>"
            "<UUID FileName='other.tif'>x</UUID></TiffData></Pixels></Image></OME>"
        )
        tifffile.imwrite(
            tmp_path / "a.tif",
            FRAMES[0],
            description=words,
            metadata=None,
            photometric="minisblack",
        )

        with pytest.raises(UnfitImageError, match="this file does not hold all"):
            raster.read(tmp_path / "a.tif")

    @pytest.mark.parametrize("words", ["<OME", "<OME><Image/></OME>", '{"shape": 5}', "ImageJ=1"])
    def test_a_description_that_says_nothing_leaves_phases(self, tmp_path: Path, words) -> None:
        tifffile.imwrite(
            tmp_path / "a.tif",
            FRAMES[:, 0],
            description=words,
            metadata=None,
            photometric="minisblack",
        )

        np.testing.assert_array_equal(read(tmp_path / "a.tif"), FRAMES[:, :1])

    def test_slices_are_written_so_that_imagej_and_cinesr_know_them(self, tmp_path: Path) -> None:
        (cine,) = raster.read(saved_ome(tmp_path / "a.ome.tif"))
        high = cine.with_frames(FRAMES, cine.geometry, Derivation("super-resolved x4", ""))

        raster.write_tiff(high, tmp_path / "b.tif")

        with tifffile.TiffFile(tmp_path / "b.tif") as written:
            assert written.is_imagej
            assert written.series[0].axes == "TZYX"
            np.testing.assert_array_equal(written.asarray(), FRAMES)
        (again,) = raster.read(tmp_path / "b.tif")
        np.testing.assert_array_equal(np.asarray(again.frames), FRAMES)
        assert "super-resolved x4 - research use only" in again.source.description


def saved_ome(path: Path) -> Path:
    tifffile.imwrite(path, FRAMES, ome=True, metadata={"axes": "TZYX"}, photometric="minisblack")
    return path


def test_a_cine_of_slices_alone_keeps_them_in_a_tiff(tmp_path: Path) -> None:
    from cinesr.imaging.geometry import Geometry

    cine = Cine(FRAMES[:1], Geometry.assumed(slices=3))
    raster.write_tiff(cine, tmp_path / "a.tif")

    np.testing.assert_array_equal(read(tmp_path / "a.tif"), FRAMES[:1])


@pytest.mark.parametrize(
    "words",
    [
        "ImageJ=1\nimages=1000000000000\nslices=1000000000000\n",
        "ImageJ=1\nimages=4\nslices=-2\nframes=-2\n",
        json.dumps({"shape": [10**9, 10**9, 16, 12]}),
        json.dumps({"shape": [-4, 16, 12]}),
        "<OME><Image><Pixels SizeZ='-1' SizeT='-4'/></Image></OME>",
        "<OME><Image><Pixels SizeZ='99999999999' SizeT='9'/></Image></OME>",
        "<OME><Image><Pixels SizeT='4'><TiffData PlaneCount='99999999999'/></Pixels></Image></OME>",
        "<OME><Image><Pixels SizeT='four'/></Image></OME>",
    ],
)
def test_descriptions_that_are_nonsense_are_passed_over_or_refused(tmp_path: Path, words) -> None:
    for name, frames in (("a.tif", FRAMES[:, 0]), ("b.tif", FRAMES[:1, 0])):
        tifffile.imwrite(
            tmp_path / name, frames, description=words, metadata=None, photometric="minisblack"
        )

        try:
            (cine,) = raster.read(tmp_path / name)
        except (UnfitImageError, UnreadableFileError) as error:
            assert name in error.message  # noqa: PT017
        else:
            np.testing.assert_array_equal(np.asarray(cine.frames), frames[:, None])
