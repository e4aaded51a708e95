"""What runs left behind, by name, and whether that of two is the same."""

import json


def below(fs, place) -> dict[str, bytes]:
    place = place.removeprefix("s3://")
    return {name.removeprefix(f"{place}/"): fs.cat_file(name) for name in fs.find(place)}


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def loaded(store, path, data):
    """The array of a file with these bytes."""
    path.write_bytes(data)
    with open(path, "rb") as file:
        return store.format._load(file)  # pyright: ignore[reportAttributeAccessIssue]


def without_source(content):
    said = json.loads(content)
    del said["source"]["path"]
    return said


def same(one, other):
    """Names, and contents but for where the video lay and, in other batches, features' last bits."""
    assert one.keys() == other.keys()
    for name in one:
        if name.endswith("_meta.json"):
            mine, yours = without_source(one[name]), without_source(other[name])
            for said in (mine, yours):
                for content in said["contents"].values():
                    del content["sha256"]
            assert mine == yours
        elif not name.endswith("_clip.npy"):
            assert one[name] == other[name], name
