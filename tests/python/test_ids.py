"""Ids, and what may stand for one."""

import copy
import hashlib
import pickle

import pytest

import plasmad
from plasmad import ObjectId

HEX = "0123456789abcdef" * 3 + "01234567"


def test_an_id_is_28_bytes_and_shorter_ones_are_padded_on_the_right():
    assert ObjectId(b"abc").binary() == b"abc" + bytes(25)
    assert ObjectId(b"x" * 28).binary() == b"x" * 28
    for wrong in (b"", b"x" * 29):
        with pytest.raises(ValueError, match="1 to 28 bytes"):
            ObjectId(wrong)


def test_the_all_zero_id_names_nothing():
    with pytest.raises(ValueError, match="all-zero"):
        ObjectId(bytes(28))
    with pytest.raises(ValueError, match="all-zero"):
        ObjectId(b"\0")
    with pytest.raises(ValueError, match="all-zero"):
        ObjectId.from_hex("0" * 56)


def test_hex_goes_there_and_back():
    id = ObjectId.from_hex(HEX)
    assert id.hex() == HEX
    assert ObjectId.from_hex(HEX.upper()) == id
    assert repr(id) == f"ObjectId({HEX})"
    for wrong in ("", HEX[:-1], HEX + "0", HEX[:-1] + "g", "ü" * 28):
        with pytest.raises(ValueError, match="from_name"):
            ObjectId.from_hex(wrong)


def test_a_name_is_its_sha_224():
    assert ObjectId.from_name("train/épöch").binary() == hashlib.sha224("train/épöch".encode()).digest()


def test_ids_are_values():
    first, second = ObjectId(b"a"), ObjectId(b"b")
    assert first < second and second >= first and first != second
    assert {first: 1}[ObjectId(b"a")] == 1
    assert sorted([second, first]) == [first, second]
    assert first != "a" and first != b"a"
    assert len({ObjectId.random() for _ in range(100)}) == 100
    with pytest.raises(TypeError):
        first < b"b"  # noqa: B015
    with pytest.raises(AttributeError):
        first.value = 1


def test_ids_can_be_copied_and_pickled():
    id = ObjectId.random()
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(id, protocol)) == id
    assert copy.deepcopy(id) == id


@pytest.mark.parametrize("wrong", ["train/epoch-3", "", HEX[:-1], HEX + "00"])
def test_a_text_that_is_no_id_is_never_taken_for_a_name(store, wrong):
    with pytest.raises(ValueError, match="ObjectId.from_name"):
        store.contains(wrong)


@pytest.mark.parametrize("wrong", [5, None, 1.5, ["a"], bytearray(b"abc"), memoryview(b"abc")])
def test_other_types_are_no_ids(store, wrong):
    with pytest.raises(TypeError, match="an id is"):
        store.contains(wrong)


@pytest.mark.parametrize("wrong", [b"", b"x" * 29, bytes(28), "0" * 56])
def test_wrong_bytes_are_no_id(store, wrong):
    with pytest.raises(ValueError):
        store.contains(wrong)


def test_every_form_of_an_id_means_the_same(store):
    id = ObjectId(b"some uuid's " + ObjectId.random().binary()[:16])
    store.put_bytes(b"data", object_id=id)
    for form in (id, id.binary(), id.hex(), id.hex().upper()):
        assert store.contains(form)
        assert bytes(store.get_buffer(form, 0)) == b"data"
        assert store.stat(form).id == id.hex()
    assert store.delete(id.hex()) == 1


def test_several_ids_are_a_list(store, fresh_id):
    for one in (fresh_id.binary(), fresh_id.hex()):
        with pytest.raises(TypeError, match="several ids"):
            store.get_buffers(one)
    with pytest.raises(TypeError):
        store.get_buffers(fresh_id)
    assert plasmad.ObjectId is type(fresh_id)
