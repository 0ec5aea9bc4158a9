import json
import os
import sys

from s2rctl.cli.main import main
from s2rctl.cli.probes import PROBES, Probe, examine


def test_a_probe_reports_success_absence_failure_and_silence():
    good = examine(Probe("x", "print('noise'); print('1.2')", "hint"), 20)
    assert (good.status, good.detail, good.hint) == ("ok", "1.2", "")
    absent = examine(Probe("x", "import no_such_module", "install it"), 20)
    assert (absent.status, absent.hint) == ("missing", "install it") and "no_such_module" in absent.detail
    assert examine(Probe("x", "raise RuntimeError('broken driver')", ""), 20).detail == "RuntimeError: broken driver"
    assert examine(Probe("x", "import os; os.abort()", ""), 20).status == "failed"
    assert examine(Probe("x", "import time; time.sleep(60)", ""), 1).status == "timeout"


def test_what_auto_means_here_is_said_with_the_reason():
    probes = {probe.name: probe for probe in PROBES}
    sound = {**os.environ, "JAX_PLATFORMS": "cpu"}
    physics, renderer = (examine(probes[name], 120, environment=sound).detail for name in ("physics", "renderer"))
    assert physics.startswith("auto is native: ") and "CPU" in physics
    assert renderer.startswith("auto is raycast: ") and "primitives" in renderer


def test_doctor_works_with_everything_broken(tmp_path, monkeypatch, capsys):
    for module in ("jax", "mujoco", "onnxruntime", "jax2onnx", "cv2", "xarm", "dynamixel_sdk", "imageio_ffmpeg"):
        (tmp_path / f"{module}.py").write_text("raise OSError('libbroken.so: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store").write_text("a file, not a folder")
    assert main(["doctor", "--json", "--store", str(tmp_path / "store"), "--timeout", "30"]) == 7
    value = json.loads(capsys.readouterr().out)
    found = {check["name"]: check for check in value["data"]["checks"]}
    assert set(found) == {probe.name for probe in PROBES} | {"store", "environment"}
    assert found["python"]["status"] == "ok" and found["python"]["detail"] == sys.version.split()[0]
    for name in ("mujoco", "jax", "physics native", "renderer raycast", "onnxruntime"):
        assert found[name]["status"] == "failed" and "libbroken.so" in found[name]["detail"] and found[name]["hint"]
    assert "onnxruntime" in value["error"]["message"]


def test_the_report_is_one_block_to_paste_without_the_users_name(tmp_path, monkeypatch, capsys):
    for module in ("jax", "mujoco", "onnxruntime", "jax2onnx", "cv2", "xarm", "dynamixel_sdk", "imageio_ffmpeg"):
        (tmp_path / f"{module}.py").write_text("raise OSError('libbroken.so: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("S2RCTL_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("WANDB_API_KEY", "a secret")
    assert main(["doctor", "--report", "--timeout", "30"]) == 7
    text = capsys.readouterr().out.strip()
    assert text.startswith("```text\ns2rctl ") and text.endswith("\n```") and text.count("```") == 2
    assert str(tmp_path) not in text and "S2RCTL_STORE=~/store" in text and "a secret" not in text
    assert "libbroken.so" in text and f"Python {sys.version.split()[0]}" in text
