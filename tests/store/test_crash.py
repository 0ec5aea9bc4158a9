import json
import os
import subprocess
import sys
from pathlib import Path

from tests.waiting import HANG_S


def test_kill_9_between_any_two_steps_leaves_a_clean_store_that_can_be_used_again(tmp_path):
    top = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.crash_driver", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=2 * HANG_S,
        check=True,
        env=os.environ | {"PYTHONPATH": str(top)},
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) > 20 and not results[-1]["killed"]  # the last one ran through
    assert all(result["killed"] for result in results[:-1])
    assert all(result["clean"] and result["whole_after"] for result in results), results


def test_two_processes_publish_the_same_content_at_once(tmp_path):
    top = Path(__file__).resolve().parents[2]
    program = (
        "import sys; from pathlib import Path; from tests.store import crash_driver as d;"
        "from s2rctl.store.store import Store; source = Path(sys.argv[1]) / 'policy.bin';"
        "[d.publish(Store(Path(sys.argv[1]) / 'store'), source) for _ in range(10)]"
    )
    (tmp_path / "policy.bin").write_bytes(b"weights" * 1000)
    arguments = [sys.executable, "-c", program, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(top)}
    both = [subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        _, complaint = process.communicate(timeout=HANG_S)
        assert process.returncode == 0, complaint
    from s2rctl.store.store import Store
    from s2rctl.store.verify import verify

    store = Store(tmp_path / "store")
    assert len(list(store.ids())) == 1 and verify(store, full=True).clean
