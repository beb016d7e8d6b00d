"""Does the trainings planned in the folders below FOLDER on two devices, made from this machine's one.

It runs in a process of its own, since the number of devices is fixed when TensorFlow starts.
"""

from __future__ import annotations

import sys
from pathlib import Path

import tensorflow as tf

from trainer import fitting
from trainer.distributed.handoff import Result, TrainingHandoff
from trainer.distributed.replicas import here

if __name__ == "__main__":
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    for path in sorted(Path(sys.argv[1]).iterdir()):
        planned = TrainingHandoff(path)
        fold, training, settings = planned.read()
        devices = here(settings)
        scaled = settings.of(training, devices.count)
        network, history = fitting.fit_anew(fold, scaled, devices, task="Trainer", log_dir=str(path / "logs"))
        # nothing of the devices is left in it
        assert {type(variable.value).__name__ for variable in network.variables} == {"ResourceVariable"}
        planned.finish(Result(network.get_weights(), history, devices.count, scaled))
