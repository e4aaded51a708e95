"""Another model on the page: chosen in the bar, for this page alone, with features and scores of its own."""

import pytest
from clipreel.configs.investigator_schema import InvestigatorConfig
from clipreel.configs.schema import EncoderConfig
from clipreel.errors import ConfigError
from clipreel.investigator.model_choice import model_choices
from clipreel.tests.investigator.browser import axe_violations


def test_what_is_offered(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPREEL_CACHE", str(tmp_path))
    (tmp_path / "ViT-B-16.pt").touch()
    words = "[{model_name: RN50}, {feature_type: open_clip, model_name: ViT-B-32, pretrained: openai}]"
    offered = model_choices(InvestigatorConfig(encoders=words))
    assert [(one.encoder.feature_type, one.encoder.model_name) for one in offered] == [
        ("clip", "ViT-B/32"), ("clip", "RN50"), ("open_clip", "ViT-B-32"), ("clip", "ViT-B/16"), ("clip", "tiny")]
    assert len({one.id for one in offered}) == 5 and str(tmp_path) not in repr([one.record() for one in offered])
    offered = model_choices(InvestigatorConfig(encoder=EncoderConfig("clip", "tiny")))
    assert [one.encoder.model_name for one in offered] == ["tiny", "ViT-B/16"]
    with pytest.raises(ConfigError, match="allowed is a list of mappings"):
        model_choices(InvestigatorConfig(encoders="[RN50]"))


def test_a_model_that_is_not_here_leads_to_the_demonstration_one(visit, start, site, tmp_path, axe):
    """The command's model has no weights; the page says so and goes on with another, and other pages are left alone."""
    client, server = start(model=None, encoder=EncoderConfig("clip", "custom", checkpoint=str(tmp_path / "none.pt")),
                           roots=(str(site.folder),), output_path=str(site.folder.parent / "output"), extraction_fps=2.0)
    address = f"#/watch?v={site.ids['coded.webm']}&t=14&text0=a+blue+square&scale=raw"
    tab = visit(address, address=server.url)
    tab.until("document.querySelector('#watch-notice').innerText.includes('custom could not be loaded')")
    assert "none.pt" in tab.page.locator("#watch-notice").inner_text()
    tab.page.get_by_role("button", name="Use the demonstration model").click()
    tab.ready(1)  # what an earlier command stored by this model
    assert 300 <= tab.settled_code() < 400 and "model=m" in tab.page.evaluate("location.hash")
    assert tab.page.locator("#watch-notice .notice").count() == 0
    tab.page.locator("#model-menu summary").click()
    tab.page.locator("#model-menu button", has_text="custom").wait_for()
    assert axe_violations(tab.page, axe) == []
    tab.page.get_by_role("button", name="This frame").click()
    tab.ready(2)
    tab.until("document.querySelector('#model-words').innerText === 'tiny'")
    tab.until("document.querySelector('.query img')?.naturalWidth > 0")  # its picture is asked for without a header
    other = visit(address, address=server.url)
    other.until("document.querySelector('#model-words').innerText === 'custom failed'")
    other.complaints[:] = [one for one in other.complaints if "503" not in one]
    tab.complaints[:] = [one for one in tab.complaints if "503" not in one]
    refused = client.get("/api/state", x_clipreel_model="m000000000000")
    assert refused.status == 404 and refused.json["error"]["code"] == "no_model"

