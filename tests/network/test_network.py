"""Networks: structure, hash, TOML in and out, and what errors say about the place."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import refntk
from refntk.errors import NetworkError, ShapeError
from refntk.network import Network, load_network, preset, presets
from refntk.network.layers import (
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    GroupConv,
    GroupPool,
    Layer,
    Lift,
    Relu,
    Signal,
)
from refntk.network.presets import as_network
from refntk.ops.groups import GROUPS

LIFT = '[[layer]]\ntype = "Lift"\nfilter_shape = [3, 3]\ngroup = "C4"\n'


def small(**kwargs: Any) -> Network:
    return Network(
        [Lift((3, 3), group="C4"), Relu(), GroupConv((3, 3)), Relu(), GroupPool(), Dense()],
        **kwargs,
    )


def test_layers_become_a_tuple() -> None:
    assert small().layers[1] == Relu()
    assert isinstance(small().layers, tuple)


def test_the_name_does_not_count() -> None:
    assert small(name="a") == small(name="b") == small()
    assert small(name="a").hash == small().hash
    assert hash(small(name="a")) == hash(small())


def test_the_hash_is_stable_and_sees_every_argument() -> None:
    assert small().hash == "984b3c6f68e516da37b69ec0f31ced6edcf045da145e50e22c833de6deffe551"
    variants: list[Layer] = [
        Lift((3, 3), group="C4"),
        Lift((3, 5), group="C4"),
        Lift((3, 3), group="D4"),
        Lift((3, 3), group="C4", padding="VALID"),
        Lift((3, 3), group="C4", W_std=2),
        Lift((3, 3), group="C4", b_std=1e-9),
        Conv((3, 3)),
        Conv((3, 3), strides=(1, 2)),
        Conv((3, 3), dilations=(1, 2)),
        Lift((3, 3), group="C4", strides=(2, 2)),
    ]
    assert len({Network([layer]).hash for layer in variants}) == len(variants)
    assert Network([Flatten()]).hash != Network([Flatten(), Dense()]).hash
    assert pickle.loads(pickle.dumps(small())) == small()


def test_signals_after_each_layer() -> None:
    net = Network([Lift((3, 3), group="C4", padding="VALID"), Relu(), GroupPool()])
    expected = (
        Signal("group", (4, 4), "C4", True, weighted=True),
        Signal("group", (4, 4), "C4", False, weighted=True),
        Signal("vector", weighted=True),
    )
    assert net.signals((6, 6)) == net.signals((6, 6, 3)) == expected


@pytest.mark.parametrize("shape", [(6,), (1, 6, 6, 3), (0, 6), (6, 6, 0)])
def test_signals_want_the_shape_of_one_image(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"expected the shape \(H, W\) or \(H, W, C\)"):
        small().signals(shape)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([GroupConv((3, 3))], r"layer 0 \(GroupConv\): needs functions on a group.* put a Lift"),
        ([Conv((3, 3)), Relu(), Relu()], r"layer 2 \(Relu\): needs Gaussian features"),
        ([Relu()], r"layer 0 \(Relu\): needs Gaussian features"),
        ([Flatten(), Relu()], r"layer 1 \(Relu\): needs Gaussian features"),
        ([Conv((3, 3)), Flatten(), Relu()], r"layer 2 \(Relu\): needs Gaussian features"),
        ([Conv((3, 3)), Relu(), GlobalAvgPool(), Relu()], r"layer 3 \(Relu\): needs Gaussian"),
        ([Flatten(), Conv((3, 3))], r"layer 1 \(Conv\): needs a grid, but gets a vector"),
        ([Conv((3, 3)), Dense()], r"layer 1 \(Dense\): needs a vector, but gets a grid"),
        ([], "expected a list of at least one layer"),
        (None, "expected a list of at least one layer, not None"),
        ("Relu", "expected a list of at least one layer, not 'Relu'"),
        ([Flatten(), Relu], r"layer 1: expected a layer such as Conv\(\(3, 3\)\).*, not Relu"),
        ([Flatten(), 3], "layer 1: expected a layer such as .*, not 3"),
    ],
)
def test_wrong_structures(layers: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        Network(layers)


def test_pooled_gaussian_features_may_meet_a_relu() -> None:
    assert Network([Conv((3, 3)), GlobalAvgPool(), Relu()]).signals((4, 4))[-1].kind == "vector"


def test_a_shape_error_names_the_layer() -> None:
    lifted = Network([Lift((3, 1), group="C4", padding="VALID")])
    with pytest.raises(ShapeError, match=r"^layer 0 \(Lift\): with padding VALID the group C4 m"):
        lifted.signals((6, 5))
    deep = Network([Conv((3, 3), padding="VALID")] * 3)
    with pytest.raises(ShapeError, match=r"^layer 2 \(Conv\): .*3x3 filter eats the 2x2 image"):
        deep.signals((6, 6))


def test_unknown_parameterization() -> None:
    with pytest.raises(NetworkError, match='unknown parameterization "std"; known: ntk, stand'):
        small(parameterization="std")


@pytest.mark.parametrize("name", ["", "two\nlines", 3, "\ud800"])
def test_names_are_one_printable_line(name: Any) -> None:
    with pytest.raises(NetworkError, match="name: expected one line of printable text, not"):
        small(name=name)


def sides(step: int) -> st.SearchStrategy[tuple[int, int]]:
    side = st.integers(1, 4).map(lambda k: step * k - step + 1)
    return st.tuples(side, side)


odd, even = st.sampled_from([1, 3]), st.sampled_from([2, 4])
same_parity = st.tuples(odd, odd) | st.tuples(even, even)


deviations = st.floats(0, 1e154)
paddings = st.sampled_from(["SAME", "VALID", "CIRCULAR"])
scales = {"W_std": deviations, "b_std": deviations}
lifts = st.builds(Lift, same_parity, group=st.sampled_from(GROUPS), padding=paddings, **scales)
convs = st.builds(
    Conv, sides(1), strides=sides(1), dilations=sides(1), padding=paddings, **scales
)
group_convs = st.builds(
    GroupConv, same_parity, strides=sides(1), padding=paddings,
    rotations=st.none() | st.just((0,)), **scales,
)  # fmt: skip
denses = st.builds(Dense, **scales)
names = st.none() | st.text(min_size=1).filter(str.isprintable)


@given(st.lists(convs), lifts, st.lists(group_convs), st.lists(denses), names)
def test_toml_gives_the_network_back(
    below: list[Conv], lift: Lift, above: list[GroupConv], head: list[Dense], name: str | None
) -> None:
    net = Network([*below, lift, *above, Relu(), GroupPool(), *head], name=name)
    again = Network.from_toml_string(net.to_toml())
    assert again == net
    assert (again.name, again.hash) == (net.name, net.hash)


def test_toml_reads_like_the_contract() -> None:
    assert Network([Flatten(), Dense(b_std=1)], name='a "b" ü').to_toml() == (
        'name = "a \\"b\\" ü"\nparameterization = "ntk"\n'
        '\n[[layer]]\ntype = "Flatten"\n'
        '\n[[layer]]\ntype = "Dense"\nW_std = 1.0\nb_std = 1.0\n'
    )


def test_inline_tables_are_toml_too() -> None:
    text = 'layer = [{type = "Flatten"}, {type = "Dense", W_std = 2}]'
    assert Network.from_toml_string(text) == Network([Flatten(), Dense(W_std=2.0)])


TOML_ERRORS = [
    ("", "net.toml: expected one [[layer]] table a layer, found none"),
    ("name = ", "net.toml, line 1: not valid TOML: Invalid value"),
    (LIFT + "group = 3\n", "net.toml, line 5: not valid TOML: Cannot overwrite a value"),
    ('name = "a\n', "net.toml, line 1: not valid TOML: "),
    ("a = " + "[" * 100_000, "net.toml: brackets are nested too deeply"),
    ("a = " + "1" * 5000, "net.toml: not valid TOML: Exceeds the limit"),
    ("\nname = 3\n" + LIFT, "net.toml, line 2: name: expected one line of printable text, not 3"),
    ('nam = "a"\n' + LIFT, 'net.toml, line 1: unknown key "nam" (did you mean "name"?); known'),
    ('parameterization = "std"\n' + LIFT, 'line 1: unknown parameterization "std"; known: ntk, '),
    ("layer = 3", "line 1: expected one [[layer]] table a layer"),
    ("layer = [3]", "net.toml: layer 0: expected a table, not 3"),
    ("layer = []", "line 1: expected one [[layer]] table a layer"),
    ("[[layer]]\n", "line 1: layer 0: the key type is missing; known: Conv, Lift,"),
    ("[[layer]]\ntype = 3", "line 2: layer 0: unknown layer 3; known: Conv"),
    ("[[layer]]\ntype = []", "line 2: layer 0: unknown layer []; known: Conv"),
    (
        LIFT + '\n[[layer]]\ntype = "Rellu"',
        'line 7: layer 1: unknown layer "Rellu" (did you mean "Relu"?); known: Conv',
    ),
    (
        LIFT + 'paddin = "SAME"',
        'line 5: layer 0 (Lift): unknown argument "paddin" (did you mean "padding"?)',
    ),
    (LIFT + '[[layer]]\ntype = "Relu"\nx = 1', 'line 7: layer 1 (Relu): unknown argument "x"'),
    (LIFT + "[layer.x]\ny = 1", 'line 1: layer 0 (Lift): unknown argument "x"'),
    ('# c\n[[layer]]\ntype = "Lift"\ngroup = "C4"', "line 2: layer 0 (Lift): the argument fi"),
    (LIFT + '  "padding"= "same"', 'line 5: layer 0 (Lift): padding: unknown padding "same" (did'),
    (LIFT.replace("C4", "c4"), 'line 4: layer 0 (Lift): unknown group "c4" (did you mean "C4"?)'),
    (LIFT.replace("[3, 3]", "[2, 3]"), "line 3: layer 0 (Lift): filter_shape: a 2x3 filter that"),
    (LIFT + "W_std = nan", "line 5: layer 0 (Lift): W_std: expected a finite standard deviation"),
    (LIFT + '[[layer]]\ntype = "Dense"', "line 5: layer 1 (Dense): needs a vector, but gets"),
    ('layer = [{type = "Dense"}]', "net.toml: layer 0 (Dense): needs a vector, but gets a grid"),
    ("note = '''\n[[layer]]\n'''\n" + LIFT, 'net.toml, line 1: unknown key "note"; known: name'),
]


@pytest.mark.parametrize(("text", "message"), TOML_ERRORS, ids=range(len(TOML_ERRORS)))
def test_toml_errors_tell_file_and_line(text: str, message: str) -> None:
    with pytest.raises(NetworkError, match=re.escape(message)) as caught:
        Network.from_toml_string(text, source="net.toml")
    assert "\n" not in str(caught.value)


@given(st.text(alphabet='[]layer ="\n#type.{},3Relu', max_size=60))
def test_any_text_gives_a_network_or_a_clear_error(text: str) -> None:
    error: Exception | None = None
    try:
        Network.from_toml_string(text)
    except NetworkError as caught:
        error = caught
    assert "\n" not in str(error)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "net.toml"
    path.write_text(small(name="ü").to_toml(), encoding="utf-8")
    for net in (Network.from_toml(path), Network.from_toml(str(path)), load_network(str(path))):
        assert net == small()
        assert net.name == "ü"
    path.write_text(small(name="ü").to_toml(), encoding="utf-8-sig")
    assert Network.from_toml(path).name == "ü"


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"none\.toml: cannot be read .*: No such file"):
        Network.from_toml(tmp_path / "none.toml")
    with pytest.raises(NetworkError, match="names images where a network is expected"):
        load_network(str(tmp_path))
    binary = tmp_path / "images.npy"
    binary.write_bytes(b"\x93NUMPY")
    with pytest.raises(NetworkError, match=r"images.npy: names images where a network is expected"):
        load_network(str(binary))
    binary = binary.rename(tmp_path / "net.toml")
    with pytest.raises(NetworkError, match=r"net.toml: a network file is TOML in UTF-8: "):
        load_network(str(binary))
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('name = "a"\n\n[[layer]]\ntype = "Conf"\n')
    with pytest.raises(NetworkError, match=r'wrong.toml, line 4: layer 0: unknown layer "Conf"'):
        load_network(str(wrong))


@pytest.mark.parametrize("spec", ["gcnn-papr", "no/such/gcnn-papr", "a\0b", "x" * 5000])
def test_neither_preset_nor_file(spec: str) -> None:
    with pytest.raises(NetworkError, match="no preset and no file is called") as caught:
        load_network(spec)
    assert presets()[0] in str(caught.value)


def test_a_misspelt_preset_gets_a_hint() -> None:
    with pytest.raises(NetworkError, match=r'called \'gcnn-papr\' \(did you mean "gcnn-paper"\?'):
        load_network("gcnn-papr")


def test_what_never_ends_is_no_network_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (str(tmp_path / "pipe"), "/dev/zero"):
        with pytest.raises(NetworkError, match=f"^{path}: is no regular file; a network file is"):
            load_network(path)
    huge = tmp_path / "huge.toml"
    with huge.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(NetworkError, match=r"huge\.toml: is larger than 16777216 bytes"):
        load_network(str(huge))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Tanh", r'there is no layer Tanh: use Elementwise\("tanh"\)'),
        ("SiLU", r'there is no layer SiLU: use Elementwise\("swish"\), which is the same function'),
        ("Monomial", "there is no layer Monomial: use Polynomial, with zeros in coef below the"),
        ("leaky_relu", 'unknown layer "leaky_relu" \\(did you mean "LeakyRelu"\\?\\)'),
        ("MaxPool", "there is no exact kernel of MaxPool: the largest of several Gaussian"),
        ("GlobalMaxPool", "there is no exact kernel of GlobalMaxPool: the largest"),
        ("BatchNorm2d", "there is no exact kernel of BatchNorm2d: it ties the images of a batch"),
        ("FanInSum", "there is no layer FanInSum: what joins branches is one layer"),
        ("InstanceNorm", "there is no layer InstanceNorm: use LayerNorm"),
        ("LSTM", "there is no layer LSTM: recurrent layers are none of these recursions"),
        ("Linear", "there is no layer Linear: use Dense; SetLinear is the equivariant layer"),
        ("Softmax", "there is no exact kernel of Softmax: it is no pointwise function"),
        ("MultiHeadAttention", "there is no exact kernel of MultiHeadAttention: its weights"),
        ("Rellu", 'unknown layer "Rellu" \\(did you mean "Relu"\\?\\)'),
    ],
)
def test_layers_of_other_libraries_are_explained(name, message):
    with pytest.raises(NetworkError, match=message) as caught:
        Network.from_toml_string(f'[[layer]]\ntype = "{name}"\n')
    assert "did you mean" not in str(caught.value) or name in ("Rellu", "leaky_relu")


def test_layers_of_other_libraries_are_explained_in_python_too():
    with pytest.raises(AttributeError, match=r"no attribute 'MaxPool': there is no exact"):
        refntk.MaxPool  # noqa: B018
    with pytest.raises(AttributeError, match=r"no attribute 'nothing'$"):
        refntk.nothing  # noqa: B018


@pytest.mark.parametrize("spec", ["sample:digits", "x.npy", "tiles.h5", "."])
def test_images_in_the_place_of_a_network_are_named(spec):
    with pytest.raises(NetworkError, match="names images where a network is expected; the network"):
        load_network(spec)


def test_what_means_a_network_in_a_call():
    net = preset("cnn-gap")
    assert as_network(net) is net
    assert as_network("cnn-gap") == net
    assert as_network(list(net.layers)) == net
    with pytest.raises(NetworkError, match="net: expected a Network, the name of a preset or"):
        as_network(3)
