"""Foreign objects become facts without losing what decisions rest on."""

import msgspec

from stopgap.effects import facts, wire


def test_a_back_off_that_names_a_long_image_four_times_keeps_its_reason() -> None:
    image = f"registry.example.com/{'team/' * 30}api:2.0"
    message = (
        f'Back-off pulling image "{image}": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image "{image}": '
        f'failed to resolve reference "{image}": {image}: not found'
    )
    status = {"name": "app", "image": image, "state": {"waiting": {"reason": "ImagePullBackOff", "message": message}}}
    raw = {"metadata": {"name": "p", "uid": "u", "resourceVersion": "1"}, "status": {"containerStatuses": [status]}}
    (container,) = facts.pod(msgspec.json.decode(msgspec.json.encode(raw), type=wire.PodObject), "rs").containers
    assert container.waiting_message == message
