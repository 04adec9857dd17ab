"""The API in this process: what it answers, and what it refuses."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette", reason="starlette is not installed (extra serve)")

import httpx2
from starlette.testclient import TestClient

from pmm_jax.api import Model
from pmm_jax.calibration import Calibration
from pmm_jax.search.gallery import Gallery
from pmm_jax.serve import limits
from pmm_jax.serve.app import make_app
from tests.serve.toys import COUNT, bomb, calibrated, encoded, pictures, toy_calibration

LOCAL = "http://127.0.0.1:8765"


@pytest.fixture(scope="module")
def calibration(model: Model, gallery: Gallery) -> Calibration:
    """It is unsure of the third and fourth result of the query of seed 7."""
    [found] = gallery.search(model.embed(pictures(1, seed=7), 1), COUNT)
    between = [(found[rank - 1].distance + found[rank].distance) / 2 for rank in (2, 4)]
    return toy_calibration(model, (between[0], between[1]))


@pytest.fixture(scope="module")
def client(model: Model, gallery: Gallery, calibration: Calibration) -> Iterator[TestClient]:
    app = make_app(calibrated(model, calibration), gallery)
    with TestClient(app, LOCAL, raise_server_exceptions=False) as client:
        # From here on, its images have the numbers 0 to COUNT - 1.
        assert client.get("/api/images", params={"top": COUNT}).json()["count"] == COUNT
        yield client


def refused(answer: httpx2.Response, status: int, words: str) -> None:
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert words in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


def form(**fields: Any) -> dict[str, Any]:
    """Keywords of a request: bytes are files, all else is text."""
    files = {
        name: (f"{name}.png", value) if isinstance(value, bytes) else (None, str(value))
        for name, value in fields.items()
    }
    return {"files": files}


def test_a_search_answers_as_the_model_and_the_gallery_do(
    client: TestClient, model: Model, gallery: Gallery, calibration: Calibration
) -> None:
    image = pictures(1, seed=7)[0]
    [expected] = gallery.search(model.embed([image], 1), 5, "camera != 1")
    answer = client.post("/api/search", **form(image=encoded(image), top=5, where="camera != 1"))
    assert answer.status_code == 200
    assert answer.json()["query"] == "image.png"
    results = answer.json()["results"]
    distances = np.array([one.distance for one in expected])
    np.testing.assert_allclose([one["distance"] for one in results], distances, rtol=1e-4)
    decisions = calibration.decide(distances).tolist()
    assert {"same", "different"} <= set(decisions)
    [warning] = answer.json()["warnings"]
    assert warning.startswith("the threshold was not calibrated on camera 2")
    for found, one, decision in zip(results, expected, decisions, strict=True):
        row = int(Path(one.path).stem)
        del found["distance"]
        assert found == {
            "row": row,
            "rank": one.rank,
            "path": one.path,
            "identity": row // 2,
            "camera": row % 3,
            "decision": decision,
        }


def test_an_image_of_the_gallery_is_a_query_too(client: TestClient, gallery: Gallery) -> None:
    answer = client.post("/api/search", **form(row=4)).json()
    assert Path(answer["query"]).name == "004.png"
    assert len(answer["results"]) == limits.DEFAULT_TOP
    assert answer["results"][0]["row"] == 4
    assert answer["results"][0]["distance"] == pytest.approx(0, abs=1e-4)


def test_a_pair_is_explained(client: TestClient, model: Model) -> None:
    [image] = pictures(1, seed=7)
    found = client.post("/api/explain?result=3", **form(image=encoded(image))).json()
    assert found["heads"] == ["Mean of the map"]
    for side in ("query", "result"):
        assert [one.partition(",")[0] for one in found[side]] == ["data:image/webp;base64"]
    one, other = model.embed([image, pictures(COUNT)[3]], 4)
    assert found["distance"] == pytest.approx(float(np.linalg.norm(one - other)), rel=1e-4)
    same = client.post("/api/explain?result=3", **form(row=3)).json()
    assert same["cosine"] == pytest.approx(1)
    assert same["query"] == same["result"]


def test_rows_are_listed_and_shown(client: TestClient, gallery: Gallery) -> None:
    about = client.get("/api/gallery").json()
    assert about["images"] == COUNT
    assert about["columns"] == {"path": "text", "id": "integers", "camera": "integers"}
    found = client.get("/api/images?where=camera = 2&start=1&top=2").json()
    assert found["count"] == 4
    assert [one["row"] for one in found["images"]] == [5, 8]
    picture = client.get("/api/images/5")
    assert picture.headers["content-type"] == "image/webp"
    assert picture.content.startswith(b"RIFF")


def test_a_picture_whose_file_is_gone_is_not_found(
    client: TestClient,
) -> None:
    listed = client.get("/api/images", params={"top": COUNT}).json()["images"]
    gone, changed = (Path(listed[row]["path"]) for row in (3, 4))
    kept = gone.read_bytes(), changed.read_bytes()
    gone.unlink()
    changed.write_text("secret words")
    try:
        refused(client.get("/api/images/3"), 404, "003.png: No such file")
        answer = client.get("/api/images/4")
        refused(answer, 404, "it is no JPEG, PNG, BMP or WEBP image")
        assert "secret" not in answer.text
        refused(client.post("/api/explain?result=1", **form(row=3)), 400, "No such file")
    finally:
        gone.write_bytes(kept[0])
        changed.write_bytes(kept[1])


PNG = encoded(pictures(1)[0])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "send either an image or the row"),
        ({"image": PNG, "row": 1}, "send either an image or the row"),
        ({"image": b""}, "the file is empty"),
        ({"image": b"%PDF-1.7"}, "it is no JPEG, PNG, BMP or WEBP image"),
        ({"image": PNG[:90]}, "can't be decoded"),
        ({"image": bomb(60_000, 60_000)}, "pixels"),
        ({"image": bomb(4_097, 4_096)}, "crop it to the person"),
        ({"image": PNG, "top": 0}, "top must be a whole number from 1 to 1000"),
        ({"image": PNG, "top": 1001}, "top must be a whole number from 1 to 1000"),
        ({"image": PNG, "top": "٣"}, "top must be a whole number"),
        ({"image": PNG, "top": "1" * 50}, "top must be a whole number"),
        ({"row": -1}, "a row must be a whole number from 0"),
        ({"row": "../../etc/passwd"}, "a row must be a whole number"),
        ({"image": PNG, "where": "x" * 501}, "more than 500 characters"),
        ({"image": PNG, "where": "drop table"}, "can't read the condition"),
        ({"image": "text"}, "no field image"),
        ({"image": PNG, "path": "/etc/passwd"}, "no field path; there are image, row, top, where"),
        ({"image": PNG, "where": "x" * 5000}, "the form can't be read"),
    ],
)
def test_what_a_search_refuses(client: TestClient, fields: dict[str, Any], words: str) -> None:
    # An image that is missing altogether is a form all the same.
    request = form(**fields) if fields else form(top=1)
    refused(client.post("/api/search", **request), 400, words)


def test_a_field_may_come_once(client: TestClient) -> None:
    twice = [("image", ("a.png", PNG)), ("image", ("b.png", PNG))]
    refused(client.post("/api/search", files=twice), 400, "image comes twice")
    many = [(f"f{number}", ("a.png", b"")) for number in range(9)]
    refused(client.post("/api/search", files=many), 400, "Too many files")


def test_what_is_no_form(client: TestClient) -> None:
    refused(client.post("/api/search"), 415, "send a form")
    refused(client.post("/api/search", json={"row": 1}), 415, "send a form")
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    for body in (
        b"",
        b"--x",
        b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--",
        b"\0" * 99,
    ):
        answer = client.post("/api/search", content=body, headers=kind)
        assert answer.status_code == 400, body
        assert list(answer.json()) == ["error"]
    answer = client.post(
        "/api/search", content=b"", headers={"Content-Type": "multipart/form-data"}
    )
    refused(answer, 400, "the form can't be read")


def test_an_upload_is_read_up_to_its_limit(client: TestClient) -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        while taken < 4 * limits.MAX_UPLOAD:
            taken += 2**20
            yield bytes(2**20)

    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = client.post("/api/search", content=endless(), headers=kind)
    refused(answer, 413, "an image may have 16 MiB")


def test_every_refusal_is_json(client: TestClient) -> None:
    refused(client.get("/none"), 404, "Not Found")
    refused(client.get("/page/page.html"), 404, "Not Found")
    refused(client.get("/api/search"), 405, "Method Not Allowed")
    assert client.get("/api/search").headers["allow"] == "POST"
    refused(client.get(f"/api/images/{COUNT}"), 404, f"no image {COUNT} has been shown")
    refused(client.post("/api/search", **form(row=COUNT)), 404, "no image")
    refused(client.get("/api/images/..%2F..%2Fetc%2Fpasswd"), 404, "Not Found")
    refused(client.get("/api/images/%2e%2e"), 400, "row must be")
    refused(client.get("/api/images", params={"top": "x"}), 400, "top must be")
    refused(client.get("/api/images", params={"where": "x"}), 400, "can't read the condition")


def test_other_pages_are_refused(client: TestClient) -> None:
    # A name of a stranger's that leads here, and a stranger's page.
    refused(client.get("/", headers={"Host": "evil.example:8765"}), 403, "localhost")
    refused(client.get("/", headers={"Host": "localhost.evil.example"}), 403, "localhost")
    for origin in ("https://evil.example", "null", "http://127.0.0.1:9999"):
        answer = client.post("/api/search", **form(row=1), headers={"Origin": origin})
        refused(answer, 403, "other origins")
        assert "access-control-allow-origin" not in answer.headers
    for name in ("localhost:8765", "[::1]:8765", "127.0.0.1"):
        own = {"Host": name, "Origin": f"http://{name}"}
        assert client.post("/api/search", **form(row=1), headers=own).status_code == 200


def test_a_token_is_asked_for(model: Model, gallery: Gallery) -> None:
    token = "sixteen-characters"
    # Without the lifespan: nothing is compiled.
    client = TestClient(make_app(model, gallery, token), "http://reid.example")
    for path in ("/", "/page.js", "/page.css", "/openapi.json"):
        assert client.get(path).status_code == 200
    paths = ["/api/gallery", "/api/images", "/api/images/1", "/metrics", "/none"]
    for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {token}"}):
        for path in paths:
            answer = client.get(path, headers=given)
            refused(answer, 401, "Authorization: Bearer TOKEN")
            assert answer.headers["www-authenticate"] == "Bearer"
        refused(client.post("/api/search", **form(row=1), headers=given), 401, "Bearer")
    right = {"Authorization": f"Bearer {token}"}
    assert client.get("/api/gallery", headers=right).json()["is_calibrated"] is False
    client.get("/api/images", headers=right)
    found = client.post("/api/search", **form(row=1), headers=right).json()["results"]
    assert {one["decision"] for one in found} == {None}
    evil = right | {"Origin": "https://evil.example"}
    refused(client.get("/api/gallery", headers=evil), 403, "other origins")


def test_the_page_asks_nobody_else(client: TestClient) -> None:
    for path in ("/", "/page.js", "/page.css"):
        answer = client.get(path)
        assert "://" not in answer.text
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_it_is_watched(client: TestClient, model: Model, gallery: Gallery) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    cold = TestClient(make_app(model, gallery), LOCAL)
    refused(cold.get("/healthz"), 503, "warming up")
    cold.get("/api/images")
    cold.get("/api/images/1")
    cold.get('/none/such"} 1')
    text = cold.get("/metrics").text
    assert 'pmm_requests_total{route="/api/images/{row}",method="GET",status="200"} 1' in text
    assert 'pmm_requests_total{route="other",method="other",status="404"} 1' in text
    assert 'pmm_request_seconds_count{route="/healthz"} 1' in text
    assert "pmm_queue_images 0" in text
    assert 'pmm_batch_images_bucket{le="+Inf"} 0' in text


def test_too_many_requests_are_asked_to_come_again(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_REQUESTS", 0)
    answer = client.post("/api/search", **form(row=1))
    refused(answer, 503, "too many requests")
    assert answer.headers["retry-after"] == "1"
    monkeypatch.undo()
    assert client.post("/api/search", **form(row=1)).status_code == 200


def test_the_description_has_every_route_and_limit(client: TestClient) -> None:
    found = client.get("/openapi.json").json()
    assert set(found["paths"]) == {
        *("/api/search", "/api/explain", "/api/gallery", "/api/images", "/api/images/{row}"),
        *("/healthz", "/metrics"),
    }
    content = found["paths"]["/api/search"]["post"]["requestBody"]["content"]
    fields = content["multipart/form-data"]["schema"]["properties"]
    assert set(fields) == {"image", "row", "top", "where"}
    assert fields["top"]["maximum"] == limits.MAX_TOP
