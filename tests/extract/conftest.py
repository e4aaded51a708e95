"""What tests of `extract` share: the clips of the zoo, each made once."""

import logging
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from clipreel.tests.media import make_clip, plain_decode

Zoo = Callable[[str], Path]
Plain = Callable[[str], list[np.ndarray]]


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """From the name of a clip to its file."""
    folder = tmp_path_factory.mktemp("zoo")
    return lambda name: make_clip(name, folder)


@pytest.fixture(scope="session")
def plain(zoo: Zoo) -> Plain:
    """From the name of a clip to its upright pictures by a plain decode."""
    return cache(lambda name: [rgb for _, rgb in plain_decode(zoo(name), upright=True)])


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """A bucket of an S3 server on this machine, s3://name; credentials and endpoint are where the packages look for them."""
    pytest.importorskip("s3fs", reason="needs the extra s3")
    server_module = pytest.importorskip("moto.server", reason="needs moto, an S3 server for tests")
    import s3fs

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        host, port = server.get_host_and_port()
        for name, value in {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing", "AWS_DEFAULT_REGION": "us-east-1",
                            "AWS_ENDPOINT_URL": f"http://{host}:{port}"}.items():
            patch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("bucket")
        yield "s3://bucket"
        s3fs.S3FileSystem.clear_instance_cache()
    server.stop()
