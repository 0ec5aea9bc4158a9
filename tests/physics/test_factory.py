"""Which backend is chosen where, and that it is the one that is built."""

import logging

import pytest

from s2rctl.core.errors import UsageError
from s2rctl.physics import factory
from s2rctl.physics.factory import choose_physics, make_physics
from s2rctl.physics.native import NativePhysics


@pytest.mark.parametrize(
    ("kind", "warp", "name", "said"),
    [
        ("cpu", True, "native", "CPU"),
        ("nvidia", True, "warp", "NVIDIA"),
        ("nvidia", False, "mjx", "s2rctl[warp]"),
        ("other", True, "mjx", "not NVIDIA"),
    ],
)
def test_auto_takes_the_fastest_that_is_installed_and_says_why(monkeypatch, kind, warp, name, said):
    monkeypatch.setattr(factory, "device_kind", lambda: kind)
    monkeypatch.setattr(factory, "has_warp", lambda: warp)
    choice = choose_physics("auto")
    assert choice.name == name
    assert said in choice.why


@pytest.mark.parametrize("asked", ["native", "mjx", "warp"])
def test_a_name_is_taken_at_its_word(monkeypatch, asked):
    monkeypatch.setattr(factory, "device_kind", lambda: pytest.fail("JAX need not start for this"))
    assert choose_physics(asked).name == asked


def test_auto_is_native_here(model):
    assert isinstance(make_physics("auto", model, 2, substeps=1), NativePhysics)


def test_what_was_reserved_is_told_to_who_asks(model, caplog):
    with caplog.at_level(logging.INFO, "s2rctl.physics"):
        make_physics("native", model, 2, substeps=1)
    assert "native" in caplog.text and "MB for 2 worlds" in caplog.text


def test_an_unknown_backend_is_a_usage_error(model):
    with pytest.raises(UsageError, match="nativ"):
        make_physics("nativ", model, 2, substeps=1)
