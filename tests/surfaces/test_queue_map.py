"""The picture of the queues: well-formed, with every queue and image, and for few queues as well."""

from xml.etree import ElementTree

from queues import EXECUTOR, IMAGES, QUEUES, Catalogue
from surfaces.queue_map import queue_map
from tests.own_rows import OWN_ROWS, catalogue

SVG = "{http://www.w3.org/2000/svg}"


def texts() -> list[str]:
    return [str(one.text) for one in ElementTree.fromstring(queue_map()).iter(f"{SVG}text")]  # noqa: S314 our own text


def test_every_queue_and_image_is_in_the_picture_once() -> None:
    for name in [*QUEUES.names, *(image.name for image in IMAGES)]:
        assert texts().count(name) == 1, name


def test_other_queues_have_their_picture() -> None:
    with catalogue(OWN_ROWS):
        assert {queue.name for queue in OWN_ROWS.queues} <= set(texts())


def test_no_text_is_written_over_another_whatever_the_order_of_the_rows() -> None:
    rows = OWN_ROWS.queues
    with catalogue(Catalogue((*rows[1:], rows[0]))):
        places = [(one.get("x"), one.get("y")) for one in ElementTree.fromstring(queue_map()).iter(f"{SVG}text")]  # noqa: S314 our own text
    assert len(places) == len(set(places))


def test_what_does_not_fit_beside_one_queue_is_left_out() -> None:
    heavy = [queue for queue in OWN_ROWS.queues if queue.image is EXECUTOR]
    rest = [queue for queue in OWN_ROWS.queues if queue not in heavy]
    with catalogue(Catalogue((*rest, heavy[0]))):
        assert f"limits {EXECUTOR.limits.cpu} CPU, {EXECUTOR.limits.memory}" not in texts()
