"""Prometheus's names: base units, labels for what a board names, counters where something is counted."""

from __future__ import annotations

import json

import pytest

from edgeagent.app.metric_names import Sample, samples_of
from edgeagent.fleet.examples import TOPICS, examples
from edgeagent.fleet.measurements import Measurement, PowerMeasurement, ThermalMeasurement
from edgeagent.fleet.messages import encode
from edgeagent.fleet.topics import parse_topic


def of(topic: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], Sample]:
    found = samples_of(parse_topic(topic), examples()[topic])
    return {(sample.name, sample.labels): sample for sample in found}


def test_units_become_the_base_ones() -> None:
    found = of(TOPICS.measurement("memory"))
    assert found["memory_available_bytes", ()].value == 3411 * 2**20
    assert of(TOPICS.measurement("gpu"))["gpu_freq_hertz", ()].value == pytest.approx(624.75e6)
    assert of(TOPICS.measurement("gpu"))["gpu_load_ratio", ()].value == pytest.approx(0.58)
    assert of(TOPICS.measurement("fan"))["fan_ratio", ()].value == pytest.approx(0.4)
    assert of(TOPICS.measurement("fan"))["fan_rpm", ()].value == 2650.0
    assert of(TOPICS.measurement("governor"))["governor_set_point_celsius", ()].value == 91.0


def test_what_a_board_names_is_a_label() -> None:
    thermal = of(TOPICS.measurement("thermal"))
    assert thermal["thermal_zone_celsius", (("zone", "gpu"),)].value == 61.5
    assert thermal["thermal_max_celsius", ()].value == 61.5
    power = of(TOPICS.measurement("power"))
    assert power["power_rail_watts", (("rail", "vdd_in"),)].value == 11.42
    assert power["power_total_watts", ()].value == 11.42
    assert of(TOPICS.measurement("cpu"))["cpu_core_load_ratio", (("core", "0"),)].value == pytest.approx(0.41)


def test_cameras_and_pipelines_are_labels_and_counts_are_counters() -> None:
    camera = of(TOPICS.camera_measurement("yard"))
    assert camera["camera_frames", (("camera", "yard"),)].kind == "counter"
    assert camera["camera_health", (("camera", "yard"),)].value == 1
    pipeline = of(TOPICS.summary("yard", "people"))
    labels = (("camera", "yard"), ("pipeline", "people"))
    assert pipeline["pipeline_lat_p95_seconds", labels].value == pytest.approx(0.0449)
    for count in ("detections", "dropped", "failed", "torn", "shed", "unchanged"):
        assert pipeline[f"pipeline_{count}", labels].kind == "increment"
    assert ("pipeline_interval_seconds", labels) not in pipeline


def test_states_are_told_as_numbers() -> None:
    status = of(TOPICS.status)
    assert status["status", (("state", "degraded"),)].value == 1
    assert status["status", (("state", "ready"),)].value == 0
    assert of(TOPICS.health)["component_health", (("component", "camera/yard"),)].value == 1
    alarm = of(TOPICS.alarm("hot"))
    assert alarm["alarm", (("type", "hot"), ("severity", "warning"))].value == 1
    ((name, labels),) = of(TOPICS.info)
    assert name == "info"
    assert {"fleet": "plant-2", "device": "gate-07", "version": "0.1.0"}.items() <= dict(labels).items()
    for topic in (TOPICS.event("engine-failed"), TOPICS.result("yard", "people"), TOPICS.engine("people")):
        assert of(topic) == {}


HEADER = {"session": "a-1", "seq": 1, "ts": 0}


def test_over_currents_are_one_counter_for_each_channel() -> None:
    message = PowerMeasurement.model_validate({**HEADER, "oc1_events": 3, "oc1_new": 0, "oc1_rate_per_s": 0.0})
    (sample,) = samples_of(parse_topic(TOPICS.measurement("power")), message)
    assert (sample.name, sample.labels, sample.kind) == ("power_over_current_events", (("channel", "oc1"),), "counter")


def test_true_and_false_are_one_and_nothing() -> None:
    message = ThermalMeasurement.model_validate({**HEADER, "temp_max_c": 40.0, "throttling": True})
    found = {sample.name: sample.value for sample in samples_of(parse_topic(TOPICS.measurement("thermal")), message)}
    assert found == {"thermal_max_celsius": 40.0, "thermal_throttling": 1.0}


def test_a_group_of_its_own_is_taken_as_it_is() -> None:
    message = Measurement.model_validate({**HEADER, "free_mb": 1.0, "used_percent": 50.0})
    found = {sample.name: sample.value for sample in samples_of(parse_topic(TOPICS.measurement("disk-2")), message)}
    assert found == {"disk_2_free_bytes": 2.0**20, "disk_2_used_ratio": 0.5}


def test_all_of_one_name_have_the_same_labels_and_kind() -> None:
    shapes: dict[str, set[tuple[tuple[str, ...], str]]] = {}
    for topic in examples():
        for sample in of(topic).values():
            shapes.setdefault(sample.name, set()).add((tuple(name for name, _ in sample.labels), sample.kind))
    assert all(len(found) == 1 for found in shapes.values()), shapes


def test_no_number_of_a_measurement_is_forgotten() -> None:
    for topic, message in examples().items():
        if parse_topic(topic).kind in ("measurement", "camera_measurement", "summary"):
            numbers = [value for value in json.loads(encode(message)).values() if isinstance(value, int | float)]
            left_out = {"summary": 3, "camera_measurement": 1}.get(parse_topic(topic).kind, 2)  # seq, ts, interval_s
            assert len(of(topic)) == len(numbers) - left_out, topic
