"""Training in processes of its own: two that do what one does, and one that is killed."""

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from clipreel.models.adaclip.checkpoint import load_checkpoint, load_training_state
from clipreel.retrieval.api import train_retrieval
from clipreel.retrieval.continuation import LAST, MODEL

MAIN = Path(__file__).resolve().parents[2] / "main.py"


def environment():
    return {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}


def losses(folder):
    with open(folder / "losses.csv", newline="") as file:
        return np.array([float(row["loss"]) for row in csv.DictReader(file)])


def test_two_processes_train_as_one_does(training_world, tmp_path):
    """Batches of 8 in two processes are those of 16 in one: the same losses and weights, but for the order of sums."""
    change = {"optim": "adamw"}
    one = train_retrieval(**training_world.keys(tmp_path / "one", num_epochs=4, **{"batch_size": 16, **change}))
    words = training_world.words(tmp_path / "two", num_epochs=4, **{"batch_size": 8, **change})
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(MAIN),
                           "retrieval", "train", *words], capture_output=True, text=True, timeout=120, check=False,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(str(tmp_path / "two" / MODEL)) == 1  # one of them speaks
    assert "terminate called" not in done.stderr and "Traceback" not in done.stderr
    np.testing.assert_allclose(losses(tmp_path / "two"), one.losses, rtol=1e-3, atol=1e-4)
    single, double = (load_checkpoint(folder / LAST).model.state_dict() for folder in (one.folder, tmp_path / "two"))
    start = train_start(training_world, tmp_path, change)
    for name, tensor in single.items():
        if tensor.ndim > 1:  # some biases change nothing (a softmax's sum with a constant), and only rounding moves them
            moved = (tensor - start[name]).norm()
            assert moved > 1e-3 and (double[name] - tensor).norm() <= 0.02 * moved, name


def test_a_process_that_is_left_alone_says_so():
    """Its fellow's message says why; a traceback of a broken connection would bury that."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    program = ("import os\nfrom clipreel.retrieval.distributed import processes\n"
               "with processes('cpu') as group:\n    group.wait() if group.is_first else os._exit(3)")
    left, gone = (subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True,
                                   env={**environment(), **place, "RANK": rank}) for rank in "01")
    assert "TrainingError: process 0 ends because another one of this training did" in left.communicate(timeout=60)[1]
    assert gone.wait(timeout=60) == 3
    assert gone.stderr is not None
    gone.stderr.close()


def train_start(world, folder, change):
    """The weights that all began with."""
    keys = world.keys(folder / "start", num_epochs=1, **{"batch_size": 16, "learning_rate": 1e-30, **change})
    return load_checkpoint(train_retrieval(**keys).checkpoint).model.state_dict()


def test_a_killed_training_goes_on_to_the_same_weights(training_world, tmp_path):
    epochs = 30
    whole = train_retrieval(**training_world.keys(tmp_path / "whole", num_epochs=epochs))
    words = training_world.words(tmp_path / "killed", num_epochs=epochs)
    process = subprocess.Popen([sys.executable, str(MAIN), "retrieval", "train", *words], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, env=environment())
    last = tmp_path / "killed" / LAST
    deadline = time.monotonic() + 60
    while not last.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 1 <= load_checkpoint(last).epoch < epochs
    resumed = train_retrieval(**training_world.keys(tmp_path / "killed", num_epochs=epochs))
    assert resumed.losses == whole.losses
    for name in (MODEL, LAST):
        mine, others = (load_checkpoint(folder / name) for folder in (resumed.folder, whole.folder))
        assert mine.fingerprint == others.fingerprint and mine.epoch == others.epoch
    states = [load_training_state(folder / LAST) for folder in (resumed.folder, whole.folder)]
    assert states[0] is not None and states[1] is not None
    assert all(torch.equal(tensor, states[1].tensors[name]) for name, tensor in states[0].tensors.items())


def test_a_mistake_under_torchrun_is_said_and_ends_it(training_world, tmp_path):
    words = training_world.words(tmp_path / "x", batch_size=400)
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(MAIN),
                           "retrieval", "train", *words], capture_output=True, text=True, timeout=120, check=False,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode != 0
    assert "2 processes and gradient_accumulation_steps=1 want 800 pairs" in done.stderr
