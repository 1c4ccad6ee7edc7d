"""Any scan from any path, and back: what a file is, its content decides; where it goes, its name.

`load` and `save` are the two functions that a script needs.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from cinesr.errors import CinesrError, OutputError, UnfitImageError, UnreadableFileError
from cinesr.imaging.archive import is_archive, is_packed_dicom, unpacked
from cinesr.imaging.cine import Cine, require_cine
from cinesr.imaging.finding import find_files, is_copied_link
from cinesr.imaging.history import last_step
from cinesr.imaging.records import (
    RECORD,
    SUFFIXES,
    companions,
    left_by_runs,
    refuse_strangers,
    suffix_of,
)
from cinesr.imaging.staging import staged

__all__ = [
    "RECORD",
    "SUFFIXES",
    "load",
    "may_be_scan",
    "natural_suffix",
    "open_cines",
    "require_sensible_output",
    "save",
    "staged",
    "staged_result",
    "suffix_of",
]

READABLE = "DICOM, NIfTI (.nii, .nii.gz), PNG, TIFF, NPY, or a folder, zip or tar of these"
_MOST_NAMED = 10
Spacing = tuple[float, float]


_FOREIGN = frozenset(
    {
        *(".jpg", ".jpeg", ".jp2", ".j2k", ".jxl", ".jls", ".bmp", ".gif", ".webp", ".svg", ".pdf"),
        *(".hdr", ".img", ".mha", ".mhd", ".nrrd", ".nhdr", ".mgh", ".mgz", ".mnc", ".vtk", ".vti"),
        *(
            ".mat",
            ".npz",
            ".h5",
            ".hdf5",
            ".zarr",
            ".pkl",
            ".pickle",
            ".pt",
            ".pth",
            ".csv",
            ".tsv",
        ),
        *(".txt", ".json", ".xml", ".toml", ".md", ".html", ".mp4", ".avi", ".mov", ".mkv", ".exr"),
        *(".zip", ".gz", ".bz2", ".xz", ".7z", ".rar", ".tar", ".tgz", ".onnx", ".keras", ".lsm"),
    }
)
"""What a file would be named of a kind that cinesr does not write; a folder hardly is."""


def load(
    path: str | Path,
    *,
    series: str | int | None = None,
    spacing_mm: Spacing | None = None,
    axes: str | None = None,
) -> Cine:
    """Reads one cine into memory.

    Args:
        path: A file, a folder or an archive.
        series: Which one, by number from 0 or by name, where there are several.
        spacing_mm: (row, column) pixel spacing, for files that do not say.
        axes: What the axes are, by letter in the file's order, for files that do not say: "tzyx"
            for (time, slice, row, column). Of NPY, TIFF and NIfTI.

    Raises:
        UnreadableFileError: Absent, broken, or of another kind.
        UnfitImageError: Several series and none chosen, or an image that cannot be processed.
    """
    cines = open_cines(path, spacing_mm=spacing_mm, axes=axes)
    if series is None and len(cines) == 1:
        return cines[0].in_memory()
    chosen = [
        cine for number, cine in enumerate(cines) if series in (cine.name, number, str(number))
    ]
    if len(chosen) == 1:
        return chosen[0].in_memory()
    came = "none was chosen" if series is None else f"{series!r} fits {len(chosen)} of them"
    listed = [
        f"  {number}: {cine.name} ({cine.shape[0]} phases, {cine.shape[1]} slices of "
        f"{cine.shape[3]}x{cine.shape[2]})"
        for number, cine in enumerate(cines[:_MOST_NAMED])
    ]
    more = len(cines) - len(listed)
    raise UnfitImageError(
        f"{path} holds {len(cines)} series and {came}:\n"
        + "\n".join([*listed, f"  and {more} more"] if more else listed),
        hint="Choose one by its number or name: series=0 in Python, --series 0 in the shell.",
    )


def open_cines(
    path: str | Path,
    *,
    spacing_mm: Spacing | None = None,
    axes: str | None = None,
    with_results: bool = False,
) -> list[Cine]:
    """Opens every cine at a path; frames are read when they are asked for.

    Args:
        path: A file, a folder (searched through) or an archive (zip, tar, .dcm.gz).
        spacing_mm: (row, column) pixel spacing, for files that do not say.
        axes: As for `load`.
        with_results: Open also what cinesr made of other images in the same folder; otherwise it
            is left aside and a note says so, lest a result is upscaled again.

    Raises:
        UnreadableFileError: Absent, broken, of another kind, or nothing in it is an image.
        UnfitImageError: An image that cannot be processed.
    """
    path = Path(path)
    try:
        if path.is_dir():
            cines = _open_folder(path, path, spacing_mm, axes, with_results=with_results)
        elif not path.exists():
            raise UnreadableFileError(
                f"{path} does not exist; expected {READABLE}.", hint="Check the path."
            )
        elif path.stat().st_size == 0:
            raise UnreadableFileError(
                f"{path} is empty (0 bytes); expected {READABLE}.",
                hint="Copy or export it again.",
            )
        elif is_archive(path):
            cines = _open_archive(path, spacing_mm, axes, with_results=with_results)
        else:
            cines = _open_file(path, spacing_mm, axes)
    except OSError as error:
        raise UnreadableFileError(
            f"{error.filename or path} could not be read: {error.strerror or error}.",
            hint="Check that you may read it, and that its disk is there.",
        ) from error
    return _without_specks(cines, path)


def _without_specks(cines: list[Cine], path: Path) -> list[Cine]:
    """Leaves out what has one row or column, as navigators have; refuses it where it is all."""
    specks = [cine for cine in cines if min(cine.shape[2:]) < 2]
    if not specks:
        return cines
    rows, columns = specks[0].shape[2:]
    what = f"{specks[0].name} has slices of {columns}x{rows} pixels"
    if len(specks) == len(cines):
        raise UnfitImageError(
            f"{path}: {what}; expected a picture of at least 2x2.",
            hint="Check that the export of the scan was complete.",
        )
    note = f"{len(specks)} series left out: {what}, which is no picture"
    return [replace(cine, notes=(*cine.notes, note)) for cine in cines if cine not in specks]


def _open_archive(
    path: Path, spacing_mm: Spacing | None, axes: str | None, *, with_results: bool
) -> list[Cine]:
    folder = unpacked(path)
    try:
        cines = _open_folder(folder, path, spacing_mm, axes, with_results=with_results)
        return _without_specks(cines, path)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if not isinstance(error, CinesrError) or path.name in error.message:
            raise
        raise type(error)(f"In {path.name}: {error.message}", hint=error.hint) from error


def _open_file(path: Path, spacing_mm: Spacing | None, axes: str | None) -> list[Cine]:
    reader = _reader(path, axes)
    if reader is not None:
        return reader(path, spacing_mm)
    if _is_dicom(path):
        return _read_dicom([path], spacing_mm)
    suffix = suffix_of(path)
    despite = f", although its name ends in {suffix}" if suffix else ""
    raise UnreadableFileError(
        f"{path} is of no kind that cinesr reads{despite}; expected {READABLE}.",
        hint="Convert it to one of these, or export it again.",
    )


def _open_folder(
    folder: Path,
    named: Path,
    spacing_mm: Spacing | None,
    axes: str | None,
    *,
    with_results: bool,
) -> list[Cine]:
    found = find_files(folder)
    files, results, may_be_mixed = _sorted_out(found.files, with_results=with_results)
    links = found.broken_links
    dicoms = [file for file in files if _is_dicom(file)]
    packed = [file for file in files if file not in dicoms and is_packed_dicom(file)]
    dicoms += [unpacked(file) / file.name.removesuffix(".gz") for file in packed]
    pictures = {} if dicoms else {file: _reader(file, axes) for file in files}
    taken = {*dicoms, *packed, *(file for file, reader in pictures.items() if reader)}
    others = [file for file in files if file not in taken]
    links += [file for file in others if is_copied_link(file)]
    broken = [link.relative_to(folder).as_posix() for link in sorted(links)]
    skipped = [file.relative_to(folder).as_posix() for file in others if file not in links]
    if not taken:
        what = f"only {_named(skipped)}" if skipped else "no file"
        if broken:
            what = f"{what} and {_broken_links(broken)}" if skipped else _broken_links(broken)
        raise UnreadableFileError(
            f"{named} holds {what}; expected {READABLE}.",
            hint="Name the folder that holds the scan.",
        )
    notes: list[str] = []
    cines = _read_dicom(dicoms, spacing_mm) if dicoms else []
    if skipped:
        kind = "that are not DICOM" if dicoms else "that are not images"
        notes.append(f"{len(skipped)} files skipped {kind}: {_named(skipped)}")
    if broken:
        notes.append(_broken_links(broken))
    cines += _read_pictures(folder, pictures, spacing_mm, notes)
    aside = [file.relative_to(folder).as_posix() for file in results]
    if may_be_mixed:
        cines, made = _originals(cines)
        aside += made
    if aside:
        notes.append(f"{len(aside)} earlier results of cinesr left aside: {_named(aside)}")
    return [replace(cine, notes=(*cine.notes, *notes)) for cine in cines]


def _broken_links(names: list[str]) -> str:
    return f"{len(names)} links that lead nowhere, or were copied as text: {_named(names)}"


def _read_pictures(
    folder: Path,
    pictures: dict[Path, Callable[[Path, Spacing | None], list[Cine]] | None],
    spacing_mm: Spacing | None,
    notes: list[str],
) -> list[Cine]:
    """Reads pictures; one that is unfit, as in colour, is left aside where others are fit."""
    cines: list[Cine] = []
    unfit: dict[str, UnfitImageError] = {}
    for file, reader in pictures.items():
        name = file.relative_to(folder).as_posix()
        if reader:
            try:
                cines += [replace(cine, name=name) for cine in reader(file, spacing_mm)]
            except UnfitImageError as error:
                unfit[name] = error
    if unfit and not cines:
        raise next(iter(unfit.values()))
    notes += [
        f"{name} left aside: {reason.message.split(': ', 1)[-1]}" for name, reason in unfit.items()
    ]
    return cines


def _sorted_out(files: list[Path], *, with_results: bool) -> tuple[list[Path], list[Path], bool]:
    """Files to read, results that are left aside, and whether the former may hold results still.

    Records and previews are never read. What runs left, by their records, is read where there is
    nothing else.
    """
    images, others = left_by_runs(files)
    files = [file for file in files if file not in others]
    results = [file for file in files if file in images]
    originals = [file for file in files if file not in images]
    if with_results or not results:
        return files, [], not with_results
    if any(map(_is_image, originals)):
        return originals, results, True
    return files, [], False


def _originals(cines: list[Cine]) -> tuple[list[Cine], list[str]]:
    """Cines that were not made by cinesr, where there are both kinds, and the names of the rest."""
    made = [cine.name for cine in cines if last_step(cine)]
    if not made or len(made) == len(cines):
        return cines, []
    return [cine for cine in cines if not last_step(cine)], made


def _named(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _reader(path: Path, axes: str | None) -> Callable[[Path, Spacing | None], list[Cine]] | None:
    """What reads this file, by its content; None where it is neither NIfTI nor a picture."""
    with path.open("rb") as file:
        start = file.read(132)
    # A DICOM file may begin as a TIFF does: the standard leaves its first 128 bytes free.
    if not start or start[128:] == b"DICM":
        return None
    from cinesr.imaging import raster

    if raster.is_raster(path):
        return partial(raster.read, axes=axes)
    from cinesr.imaging import nifti

    if nifti.is_nifti(path):
        return partial(nifti.read, axes=axes)
    return None


def may_be_scan(path: Path) -> bool:
    """Whether a file begins as an image or an archive does."""
    return _is_image(path) or is_archive(path)


def _is_image(path: Path) -> bool:
    return _reader(path, None) is not None or _is_dicom(path) or is_packed_dicom(path)


def _is_dicom(path: Path) -> bool:
    from cinesr.imaging import dicom

    return dicom.is_dicom(path)


def _read_dicom(paths: list[Path], spacing_mm: Spacing | None) -> list[Cine]:
    from cinesr.imaging import dicom

    return dicom.read(paths, spacing_mm=spacing_mm)


def save(cine: Cine, path: str | Path, *, overwrite: bool = False) -> Path:
    """Writes a cine, whole or not at all.

    Args:
        cine: What to write; frames that are computed on demand are written one by one.
        path: A file with a suffix of `SUFFIXES`, or else a folder for DICOM files.
        overwrite: Whether to replace what exists. A folder is replaced only where it holds
            nothing but an earlier result.

    Returns:
        The path.

    Raises:
        OutputError: It exists, there is no room, or the format cannot hold the cine.
    """
    require_cine(cine)
    path = Path(path)
    _refuse_foreign(path)
    writer = _writer(suffix_of(path))
    with staged(path, overwrite=overwrite, approve=_refuse_full_folder) as temporary:
        writer(cine, temporary)
    return path


def _refuse_full_folder(path: Path) -> None:
    if path.is_dir():
        refuse_strangers(path)


@contextmanager
def staged_result(folder: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A folder to write results into, which takes its name only when all went well.

    As `staged`, but the folder is made, and one that holds anything else than what the record of
    an earlier run names is not replaced.

    Args:
        folder: The folder to make.
        overwrite: Whether to replace an earlier result.

    Raises:
        OutputError: The folder exists, holds other things, or cannot be written.
    """
    with staged(folder, overwrite=overwrite, approve=_refuse_full_folder) as temporary:
        temporary.mkdir()
        yield temporary


def require_sensible_output(source: Path, output: Path) -> None:
    """Refuses an output in the place of an input, and one of a kind that is not written.

    A scan is not replaced by a prediction, and a file name does not become a folder.

    Args:
        source: An input.
        output: Beside a file of this name stand its record and its preview.

    Raises:
        OutputError: The output is the input or holds it, or its name is that of another format.
    """
    _refuse_foreign(output)
    written = (output, *companions(output)) if suffix_of(output) else (output,)
    for path in written:
        if source.exists() and path.exists() and source.samefile(path):
            raise OutputError(
                f"{path} is the input itself; expected another name for the output.",
                hint="Name another file or folder with -o.",
            )
    if output.is_dir() and source.exists():
        _refuse_to_swallow(source, output.resolve())


def _refuse_foreign(output: Path) -> None:
    if not output.is_dir() and not suffix_of(output) and output.suffix.lower() in _FOREIGN:
        raise OutputError(
            f"{output}: cinesr does not write {output.suffix} files; expected one of "
            f"{', '.join(SUFFIXES)}, or a folder.",
            hint="Name another file or folder with -o.",
        )


def _refuse_to_swallow(source: Path, output: Path) -> None:
    try:
        files = find_files(source).files if source.is_dir() else []
    except OSError:  # Told by who opens it.
        files = []
    held = [path for path in (source, *files) if path.resolve().is_relative_to(output)]
    if held and not output.is_relative_to(source.resolve()):
        raise OutputError(
            f"{output} holds the input {held[0]}; expected an output that is beside or within it.",
            hint="Name another folder with -o.",
        )


def natural_suffix(cine: Cine) -> str:
    """The suffix of a file of the kind that a cine came from; empty for DICOM, a folder."""
    module = type(cine.source).__module__.rpartition(".")[2]
    suffix = suffix_of(cine.name)
    if module == "nifti":
        return suffix if suffix.startswith(".nii") else ".nii.gz"
    if module == "raster":
        pictures = (".png", ".tif", ".tiff", ".npy")
        return suffix if suffix in pictures else ".npy"
    return ""


def _writer(suffix: str) -> Callable[[Cine, Path], None]:
    if suffix in (".nii", ".nii.gz"):
        from cinesr.imaging import nifti

        return nifti.write
    if suffix == ".dcm":
        return _write_dicom_file
    if suffix == "":
        return _write_dicom_folder
    from cinesr.imaging import raster

    return {
        ".png": raster.write_png,
        ".tif": raster.write_tiff,
        ".tiff": raster.write_tiff,
        ".npy": raster.write_npy,
    }[suffix]


def _write_dicom_folder(cine: Cine, folder: Path) -> None:
    from cinesr.imaging import dicom

    folder.mkdir()
    dicom.write(cine, folder)


def _write_dicom_file(cine: Cine, path: Path) -> None:
    from cinesr.imaging import dicom
    from cinesr.imaging.dicom_frames import DicomSource

    if isinstance(cine.source, DicomSource):
        # Told before the frames are computed: that can take minutes.
        files = {frame.file.path for phase in cine.source.frames for frame in phase}
        if len(files) > 1:
            raise OutputError(
                f"{cine.name} takes {len(files)} DICOM files; expected one for an output named "
                ".dcm.",
                hint="Name a folder instead: an output without a suffix.",
            )
    folder = path.with_name(f"{path.name}.folder")
    try:
        folder.mkdir()
        (written,) = dicom.write(cine, folder)
        written.replace(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
