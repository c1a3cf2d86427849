"""Whose frames an engine is calibrated with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from edgeagent.app.shared_frames import FramesFrom, frames_from, other_frames
from edgeagent.camera.spec import parse_source
from edgeagent.config.schema import Config

SIDE = 320


def served(camera: str, fd: int, model: str = "parts", side: int = SIDE) -> Any:
    ring = SimpleNamespace(fd=fd, layout=SimpleNamespace(width=side, height=side))
    return SimpleNamespace(
        name=f"{camera}-{model}", camera=SimpleNamespace(name=camera, source=parse_source("synthetic")), ring=ring,
        model=model,
    )  # fmt: skip


def config(**engines: object) -> Config:
    models = {"parts": {"path": "sample:conveyor"}, "own": {"path": "sample:conveyor", "max_batch": 2}}
    return Config.model_validate({"models": models, "engines": engines})


BELT, GATE, DOOR = served("belt", 3), served("gate", 4), served("door", 5)
ALL = [BELT, GATE, DOOR, served("belt", 6, "own"), served("gate", 7, "own"), served("yard", 8, side=640)]


def test_an_engine_for_one_frame_is_its_cameras_own() -> None:
    found = [frames_from(one, ALL, config(), "parts") for one in (BELT, GATE)]
    assert found[0].name != found[1].name and [one.ring_fd for one in found] == [3, 4]
    assert all(one.others == () for one in found)


def test_an_engine_for_several_takes_the_frames_of_all_cameras_of_its_model_and_size() -> None:
    found = [frames_from(one, ALL, config(max_batch=4), "parts") for one in (BELT, GATE, DOOR)]
    assert len({one.name for one in found}) == 1
    assert [(one.ring_fd, one.others) for one in found] == [(3, (4, 5)), (4, (3, 5)), (5, (3, 4))]


def test_a_models_own_word_counts_before_that_for_all() -> None:
    own = [one for one in ALL if one.model == "own"]
    assert frames_from(own[0], ALL, config(), "own").others == (7,)
    settings = config(max_batch=4)
    settings = settings.model_copy(
        update={"models": {**settings.models, "own": settings.models["own"].model_copy(update={"max_batch": 1})}}
    )
    assert frames_from(own[0], ALL, settings, "own").others == ()


def test_another_camera_is_another_set_and_pictures_are_everybodys() -> None:
    four = config(max_batch=4)
    assert frames_from(BELT, ALL, four, "parts").name != frames_from(BELT, [BELT, GATE], four, "parts").name
    assert frames_from(BELT, [BELT], four, "parts").name == frames_from(BELT, [BELT], config(), "parts").name
    pictures = config(max_batch=4, calibration_images="/nowhere")
    found = frames_from(BELT, ALL, pictures, "parts")
    assert found == FramesFrom(found.name, 3) and found.name.startswith("images-")


def pipelines(*, gate_seed: int = 1, door_model: str = "parts", door: bool = True, **engines: object) -> Config:
    cameras = {
        "belt": {"source": {"type": "synthetic"}},
        "gate": {"source": {"type": "synthetic", "seed": gate_seed}},
        "door": {"source": {"type": "synthetic", "seed": 5}, "enabled": door},
    }
    seats = {
        "belt": {"camera": "belt", "model": "parts"},
        "gate": {"camera": "gate", "model": "parts"},
        "own": {"camera": "belt", "model": "own"},
        "door": {"camera": "door", "model": door_model},
    }
    models = {"parts": {"path": "sample:conveyor"}, "own": {"path": "sample:conveyor", "max_batch": 2}}
    return Config.model_validate({"models": models, "cameras": cameras, "pipelines": seats, "engines": engines})


def test_a_new_source_is_other_frames_for_all_that_share_the_engine() -> None:
    assert other_frames(pipelines(max_batch=4), pipelines(max_batch=4)) == set()
    assert other_frames(pipelines(max_batch=4), pipelines(max_batch=4, gate_seed=2)) == {"belt", "gate", "door"}
    assert other_frames(pipelines(), pipelines(gate_seed=2)) == {"gate"}, "one frame at once: each has its own engine"
    pictures = {"max_batch": 4, "calibration_images": "/nowhere"}
    assert other_frames(pipelines(**pictures), pipelines(**pictures, gate_seed=2)) == {"gate"}


def test_a_pipeline_that_goes_over_to_another_model_changes_the_frames_of_both() -> None:
    found = other_frames(pipelines(max_batch=4), pipelines(max_batch=4, door_model="own"))
    assert found == {"belt", "gate", "own", "door"}


def test_a_disabled_camera_shows_nothing() -> None:
    assert other_frames(pipelines(max_batch=4, door=False), pipelines(max_batch=4)) == {"belt", "gate", "door"}
