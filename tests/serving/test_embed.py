"""What is asked over HTTP and what comes back: parity, forms of answers, the seed's form, bad bodies, limits, the cache."""

import io
import json
from urllib.parse import urlencode

import numpy as np
import pytest
from clipreel import serve_encoder
from clipreel.models.preprocess import preprocess_frames
from clipreel.tests.serving.calls import call, encoded, file_of, form, texts, unit
from PIL import Image

SENTENCES = ["a red circle", "a large blue square on the left", "ein grüner Kreis 录像", "a red circle"]


def test_texts_are_the_encoder_s_own(url, tiny):
    answer = texts(url, SENTENCES)
    assert answer.status == 200
    assert (answer.json["normalized"], answer.json["dtype"], answer.json["shape"]) == (True, "float32", [4, 64])
    np.testing.assert_allclose(answer.rows, unit(tiny.encode_text(SENTENCES).numpy()), atol=1e-6)


@pytest.mark.parametrize("way", ["multipart", "one by one"])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP"])
def test_pictures_are_prepared_as_frames_are(url, tiny, drawings, way, kind):
    files = [file_of(picture, kind, **({"lossless": True} if kind == "WEBP" else {})) for picture in drawings]
    if way == "multipart":
        rows = call(url, "POST", "/embed", *form(*(("image", f"{n}.bin", file) for n, file in enumerate(files)))).rows
    else:
        rows = np.concatenate([call(url, "POST", "/embed", file, f"image/{kind.lower()}").rows for file in files])
    np.testing.assert_allclose(rows, unit(encoded(tiny, drawings)), atol=1e-5)


def test_a_photograph_is_turned_upright_and_without_transparency(url, tiny, drawings):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right by a quarter to see it
    turned = file_of(np.rot90(drawings[0]).copy(), "PNG", exif=exif.tobytes())
    opaque = io.BytesIO()
    Image.fromarray(drawings[0]).convert("RGBA").save(opaque, "PNG")
    for file in (turned, opaque.getvalue()):
        rows = call(url, "POST", "/embed", file, "image/png").rows
        np.testing.assert_allclose(rows, unit(encoded(tiny, drawings[:1])), atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("normalize", ["true", "false"])
@pytest.mark.parametrize("form_", ["base64", "list", "raw"])
def test_every_form_of_an_answer(url, tiny, form_, dtype, normalize):
    answer = texts(url, SENTENCES, f"?format={form_}&dtype={dtype}&normalize={normalize}")
    expected = tiny.encode_text(SENTENCES).numpy()
    expected = unit(expected) if normalize == "true" else expected
    assert answer.rows.shape == (4, 64)
    slack = 1e-3 if dtype == "float16" else 1e-6
    np.testing.assert_allclose(answer.rows, expected, rtol=10 * slack, atol=slack)
    assert answer.headers["clipreel-model"] == call(url, path="/info").json["fingerprint"]
    if form_ == "raw":
        assert len(answer.body) == 4 * 64 * (4 if dtype == "float32" else 2)


def test_crops_go_to_the_network_as_they_are(url, tiny, drawings):
    crops = np.concatenate([preprocess_frames(picture, tiny.preprocess).numpy() for picture in drawings])
    answer = call(url, "POST", "/embed?format=raw&normalize=false", crops.tobytes(), "application/octet-stream",
                  Clipreel_Shape="12,3,64,64")
    np.testing.assert_allclose(answer.rows, encoded(tiny, drawings), rtol=1e-4, atol=1e-5)


def test_the_seed_s_form(url, tiny):
    for body, kind in ((urlencode({"text": json.dumps(SENTENCES)}), "application/x-www-form-urlencoded"),
                       form(("text", None, json.dumps(SENTENCES).encode()))):
        answer = call(url, "POST", "/", body, kind)
        assert list(answer.json) == ["embeddings"]
        np.testing.assert_allclose(answer.json["embeddings"], unit(tiny.encode_text(SENTENCES).numpy()), atol=1e-6)


@pytest.mark.parametrize("path", ["/", "/embed"])
def test_paths_are_refused_with_a_way_out(url, path):
    for fields in ({"image": '["/etc/passwd"]'}, {"image": "a.png", "text": '["a dog"]'}):
        answer = call(url, "POST", path, urlencode(fields), "application/x-www-form-urlencoded")
        assert answer.status == 400
        assert "opens no files by name" in answer.error and "POST /embed" in answer.error
    answer = call(url, "POST", "/embed", '{"images": ["a.png"]}', "application/json")
    assert (answer.status, "opens no files" in answer.error) == (400, True)


def test_nothing_is_nothing(url):
    assert texts(url, []).rows.shape == (0, 64)
    assert call(url, "POST", "/embed?format=raw", b"", "application/octet-stream", Clipreel_Shape="0,3,64,64").rows.shape == (0, 64)


PICTURE = file_of(np.zeros((9, 9, 3), dtype=np.uint8))


@pytest.mark.parametrize(("body", "kind", "status", "said"), [
    (b"{", "application/json", 400, "no JSON"), (b"\xff", "application/json", 400, "no JSON"),
    (b"[" * 100_000, "application/json", 400, "no JSON"), (b"[1]", "application/json", 400, "texts"),
    (b"{}", "application/json", 400, "texts"), (b'{"texts": "a"}', "application/json", 400, "list of sentences"),
    (b'{"texts": [1]}', "application/json", 400, "list of sentences"),
    (b'{"texts": [], "x": 1}', "application/json", 400, "nothing else"),
    (b'{"texts": null}', "application/json", 400, "list of sentences"), (b"", "application/json", 400, "no JSON"),
    (b"a dog", "text/plain", 415, "text/plain"), (b"a dog", None, 415, "(none)"),
    (b"nothing of a picture", "image/png", 422, "no picture"), (b"", "image/jpeg", 422, "no picture"),
    (PICTURE[:-25], "image/png", 422, "no picture"), (PICTURE[:20], "image/png", 422, "no picture"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", 422, "no picture"),
    (b"--x\r\nbroken", "multipart/form-data; boundary=x", 400, ""), (b"x", "multipart/form-data", 400, "boundary"),
    (*form(("picture", "a.png", PICTURE)), 400, "'picture' is unknown"), (*form(), 400, "either image"),
    (*form(("image", "a.png", PICTURE), ("text", None, b"[]")), 400, "either image"),
    (*form(("image", "a.png", PICTURE), ("image", "b.png", b"no")), 422, "image 1 of 2"),
    (*form(("text", "a.txt", b"[]")), 400, "either image"), (*form(("text", None, b"a dog")), 400, "no JSON"),
    (b"text=%5B%22%ff", "application/x-www-form-urlencoded", 400, "no JSON"),
])
def test_bad_bodies_are_answered_with_a_sentence(url, body, kind, status, said):
    answer = call(url, "POST", "/embed", body, kind)
    assert (answer.status, said in answer.error) == (status, True), answer
    assert texts(url, ["still there"]).status == 200


@pytest.mark.parametrize(("shape", "size"), [
    ("", 12288), ("1,3,64,64", 12287), ("1,3,64", 12288), ("1,64,64,3", 12288), ("-1,3,64,64", 12288), ("1,3,32,64", 6144),
    ("9999999999999999,3,64,64", 12288), ("1.0,3,64,64", 12288), ("2,3,64,64", 12288), ("1,1,3,64,64", 12288), ("٣,3,64,64", 12288),
])
def test_crops_of_another_shape_are_refused(url, shape, size):
    answer = call(url, "POST", "/embed", bytes(size), "application/octet-stream", Clipreel_Shape=shape.encode())
    assert (answer.status, "Clipreel-Shape" in answer.error) == (400, True)


@pytest.mark.parametrize("query", ["format=json", "dtype=float64", "normalize=1", "normalise=true", "format=raw&format=png"])
def test_wrong_wishes_list_the_allowed(url, query):
    answer = texts(url, ["a"], f"?{query}")
    assert (answer.status, "format=base64|list|raw" in answer.error) == (400, True)


def test_paths_that_are_not_here(url):
    assert "POST /embed" in call(url, path="/nothing").error
    assert call(url, path="/embed").status == 405
    assert call(url, "DELETE", "/info").status == 405


def test_too_long_texts_hurt_nobody_else(url):
    answer = texts(url, ["fine", "word " * 90])
    assert (answer.status, "longer than the 77 tokens" in answer.error) == (422, True)
    assert texts(url, ["x" * 4001]).status == 422
    said = call(url, "POST", "/tokens", json.dumps({"texts": ["fine", "word " * 90]}), "application/json").json
    assert said == {"fits": [True, False]}


@pytest.fixture(scope="module")
def narrow(tiny):
    with serve_encoder(tiny, port=0, max_images=3, max_texts=3, queue_length=4, max_body_megabytes=0.3,
                       max_image_megapixels=0.01) as running:
        yield running.url


def test_limits(narrow, drawings):
    assert call(narrow, path="/info").json["limits"] == {"images": 3, "texts": 3, "body_bytes": 300_000, "image_pixels": 10_000,
                                                         "queue_length": 4}
    small = file_of(np.zeros((100, 100, 3), dtype=np.uint8))
    assert call(narrow, "POST", "/embed", small, "image/png").status == 200
    for answer, said in (
        (texts(narrow, ["a"] * 4), "4 texts"), (texts(narrow, ["a" * 299_000, "b" * 2000]), "300000 bytes"),
        (call(narrow, "POST", "/embed", bytes(4 * 12288), "application/octet-stream", Clipreel_Shape="4,3,64,64"), "4 images"),
        (call(narrow, "POST", "/embed", *form(*[("image", "a.png", small)] * 4)), "Maximum number of files is 3"),
        (call(narrow, "POST", "/embed", file_of(np.zeros((101, 100, 3), dtype=np.uint8)), "image/png"), "100 x 101 pixels"),
    ):
        assert (answer.status, said in answer.error) == (413, True), answer


def test_a_decompression_bomb_is_not_unpacked(narrow, url):
    """A 20,000 x 20,000 picture in 50 kB; and one that says so in its head and holds nothing."""
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    assert len(bomb.getvalue()) < 60_000
    for where in (narrow, url):
        answer = call(where, "POST", "/embed", bomb.getvalue(), "image/png")
        assert (answer.status, "pixels" in answer.error) == (413, True)


def test_what_comes_again_is_not_encoded_again(tiny, drawings):
    files = [file_of(picture) for picture in drawings]
    with serve_encoder(tiny, port=0) as running:
        def counters():
            return call(running.url, path="/info").json["counters"]

        first = call(running.url, "POST", "/embed", *form(*(("image", "a", file) for file in [*files, files[0]])))
        assert (counters()["encoded"], counters()["images"], counters()["cached"]) == (12, 13, 0)
        again = call(running.url, "POST", "/embed", *form(*(("image", "b", file) for file in reversed(files))))
        assert (counters()["encoded"], counters()["cached"]) == (12, 12)
        assert np.array_equal(first.rows[:12], again.rows[::-1])
        assert np.array_equal(first.rows[0], first.rows[12])
        texts(running.url, ["a dog", "a cat", "a dog"])
        mixed = texts(running.url, ["a bird", "a cat"])
        assert (counters()["encoded"], counters()["cached"], counters()["texts"]) == (15, 13, 5)
        np.testing.assert_allclose(mixed.rows, unit(tiny.encode_text(["a bird", "a cat"]).numpy()), atol=1e-6)
        assert counters()["cache_rows"] == 15


def test_a_full_cache_lets_the_oldest_go(tiny):
    with serve_encoder(tiny, port=0, cache_megabytes=64 * 4 * 2 / 1e6) as running:  # room for two
        for sentence in ["a", "b", "a", "c", "a", "b"]:
            texts(running.url, [sentence])
        counters = call(running.url, path="/info").json["counters"]
        assert (counters["cache_rows"], counters["cached"], counters["encoded"]) == (2, 2, 4)


def test_health_and_info(url, tiny):
    assert (call(url).status, call(url).json) == (200, {"status": "ok"})
    info = call(url, path="/info").json
    assert info["identity"]["weights_sha256"] == tiny.identity.weights_sha256
    assert (info["dim"], info["batch_size"], info["devices"]) == (64, 32, ["cpu"])
    assert info["preprocess"]["image_size"] == 64
    assert info["logit_scale"] == tiny.logit_scale
