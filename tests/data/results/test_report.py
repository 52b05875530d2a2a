"""The page about a kernel file."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from click.testing import CliRunner

import refntk
from refntk.cli import main
from refntk.data.images.at_hand import images_at_hand
from refntk.data.results.report import neighbours, report
from refntk.errors import StoreError
from refntk.plot.png import as_png


def run(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Kernel files: of tiles with labels, of images without and with odd names, of two sets."""
    folder = tmp_path_factory.mktemp("stores")
    images = np.random.default_rng(0).random((7, 4, 4, 2))
    np.save(folder / "<plain>.npy", images)
    for name, inputs in (
        ("labels", ["sample:histology", "--limit", "36"]),
        ("plain", [folder / "<plain>.npy"]),
        ("cross", ["sample:digits", "sample:digits", "--limit", "9"]),
    ):
        result = run("compute", "mlp-1", *inputs, "-o", folder / f"{name}.h5")
        assert result.exit_code == 0, result.output
    return folder


class Page(HTMLParser):
    """Collects what a page shows, and what it would fetch."""

    def __init__(self, text):
        super().__init__()
        self.sources, self.tags, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data):
        self.words.append(data)


def page(path):
    with refntk.open_kernel(path) as kernel:
        return Page(report(kernel))


def test_it_needs_nothing_from_outside(stores):
    for name in ("labels", "plain", "cross"):
        found = page(stores / f"{name}.h5")
        assert all(source.startswith("data:image/png;base64,") for source in found.sources)
        assert not {"script", "link", "iframe", "object"} & set(found.tags)
        assert "url(" not in " ".join(found.words)


def test_a_set_with_labels_has_all_parts(stores):
    found = page(stores / "labels.h5")
    text = " ".join(found.words)
    for heading in ("Gram matrix", "Spectrum", "Nearest neighbours by the NTK", "Learning curve"):
        assert heading in text
    assert "sample:histology: 36 images of 28 x 28 x 3 uint8, 9 classes" in text
    assert 'name = "mlp-1"' in text
    assert re.search(r"18 training images: NNGP \d+\.\d ± \d+\.\d %, NTK ", text)
    with refntk.open_kernel(stores / "labels.h5") as kernel:
        near = neighbours(kernel.gram("ntk"), 1)[:, 0]
        share = 100 * (kernel.x1.labels == kernel.x1.labels[near]).mean()
    assert f"has the same class for {share:.1f} % of the images" in text
    assert sum(source.startswith("data:") for source in found.sources) == 3 + 12 * 7


def test_what_is_not_there_is_left_out(stores):
    text = " ".join(page(stores / "plain.h5").words)
    assert "Spectrum" in text
    assert "Learning curve" not in text
    assert "image 3" in text
    assert "<plain>.npy: 7 images" in text
    text = " ".join(page(stores / "cross.h5").words)
    assert "kernels between two sets of images" in text
    assert "Spectrum" not in text


def test_names_are_text_and_nothing_else(stores):
    with refntk.open_kernel(stores / "plain.h5") as kernel:
        assert "&lt;plain&gt;.npy" in report(kernel)
        assert "<plain>" not in report(kernel)


def test_images_are_shown_where_they_are_the_same(stores, tmp_path):
    source = tmp_path / "images.npy"
    images = np.random.default_rng(1).random((5, 4, 4, 3))
    np.save(source, images)
    assert run("compute", "mlp-1", source, "-o", tmp_path / "k.h5", "--limit", "3").exit_code == 0
    with refntk.open_kernel(tmp_path / "k.h5") as kernel:
        info = kernel.x1
    np.testing.assert_array_equal(images_at_hand(info), images[info.indices])
    images[info.indices[1], 0, 0, 0] += 1e-12
    np.save(source, images)
    assert images_at_hand(info) is None
    np.save(source, images[:1])
    assert images_at_hand(info) is None
    source.unlink()
    assert images_at_hand(info) is None


def test_neighbours_are_the_most_correlated():
    gram = np.array([[4.0, 1.9, 3.0], [1.9, 1.0, 1.0], [3.0, 1.0, 9.0]])
    np.testing.assert_array_equal(neighbours(gram, 2), [[1, 2], [0, 2], [0, 1]])


def test_the_command_writes_the_page_beside_the_file(stores):
    result = run("report", stores / "plain.h5")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{stores / 'plain.html'}: report of {stores / 'plain.h5'}\n"
    with refntk.open_kernel(stores / "plain.h5") as kernel:
        assert (stores / "plain.html").read_text(encoding="utf-8") == report(kernel)
    again = run("report", stores / "plain.h5")
    assert again.exit_code == 2
    assert "plain.html: exists already" in again.stderr
    assert run("report", stores / "plain.h5", "--overwrite").exit_code == 0
    own = run("report", stores / "plain.h5", "-o", stores / "plain.h5", "--overwrite")
    assert own.exit_code == 2
    assert "is the input" in own.stderr


def test_an_unfinished_file_has_no_report(stores, monkeypatch):
    with refntk.open_kernel(stores / "plain.h5") as kernel:
        kernel.tiles[:] = 0
        with pytest.raises(StoreError, match="only 0 of 1 tiles are complete; finish the"):
            report(kernel)


def test_a_png_is_one(tmp_path):
    image = pytest.importorskip("PIL.Image")
    picture = np.random.default_rng(0).random((5, 7, 3))
    (tmp_path / "a.png").write_bytes(as_png(picture))
    with image.open(tmp_path / "a.png") as read:
        np.testing.assert_array_equal(np.asarray(read), np.rint(255 * picture))
