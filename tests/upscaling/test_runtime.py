"""The runtime sends nothing to anybody."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
import cinesr.upscaling.engine
import openvino
print("openvino_telemetry" in sys.modules)
print(hasattr(openvino, "convert_model"))
"""


def test_importing_it_leaves_no_statistics_and_loads_no_sender(tmp_path: Path) -> None:
    # Its sender looks at these to keep quiet, and keeps its identity in the home folder.
    quiet = {"CI", "TF_BUILD", "JENKINS_URL"}
    environment = {key: value for key, value in os.environ.items() if key not in quiet}
    environment |= {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True
    )
    assert ended.stdout.split() == ["False", "True"]
    assert list(tmp_path.iterdir()) == []
