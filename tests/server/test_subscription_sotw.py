"""State-of-the-world rules, one test each; ``docs`` and reviews may read the names as a table of conformance."""

from collections.abc import Iterable

import pytest

from swarm_xds.server.sotw import SotwSubscription
from swarm_xds.server.subscription import Ack, Answer, Nack, Response, Stale, Subscribed, Suspect
from swarm_xds.snapshot import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, Resource, Resources

FULL = [pytest.param(CLUSTER, id="cds"), pytest.param(LISTENER, id="lds")]
PARTIAL = [pytest.param(ENDPOINT, id="eds"), pytest.param(ROUTE, id="rds"), pytest.param(SECRET, id="sds")]
#: Types of which one response may have several.
SEVERAL = FULL + PARTIAL[:-1]


def these(**versions: int) -> Resources:
    """Resources by name with content that differs by number."""
    return Resources(Resource.of(name, f"{name}{number}".encode()) for name, number in versions.items())


def names(response: Response | None) -> list[str] | None:
    """Names in a response; ``None`` for no response, which is not the same as an empty one."""
    return None if response is None else [resource.name for resource in response.resources]


def ask(subscription: SotwSubscription, *wanted: str, nonce: str = "") -> None:
    """Send a request that is no answer to anything but what ``nonce`` says."""
    subscription.on_request(names=wanted, nonce=nonce)


def started(type_url: str, resources: Resources, *wanted: str) -> tuple[SotwSubscription, str]:
    """A subscription that has its first response and has accepted it, and that response's nonce."""
    subscription = SotwSubscription(type_url)
    ask(subscription, *wanted)
    response = subscription.next_response(resources)
    assert response
    assert isinstance(subscription.on_request(names=wanted, nonce=response.nonce), Ack)
    return subscription, response.nonce


@pytest.mark.parametrize("type_url", FULL)
def test_a_first_empty_request_is_the_legacy_wildcard(type_url: str) -> None:
    """An empty first list means everything."""
    subscription = SotwSubscription(type_url)
    ask(subscription)
    assert names(subscription.next_response(these(a=1, b=1))) == ["a", "b"]


@pytest.mark.parametrize("type_url", PARTIAL)
def test_there_is_no_legacy_wildcard_for_other_types(type_url: str) -> None:
    """An empty first list means nothing where only parents name children."""
    subscription = SotwSubscription(type_url)
    ask(subscription)
    assert subscription.next_response(these(a=1)) is None


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
def test_an_asterisk_is_the_explicit_wildcard(type_url: str) -> None:
    """``*`` means everything."""
    subscription = SotwSubscription(type_url)
    ask(subscription, "*")
    assert names(subscription.next_response(these(a=1, b=1))) == ["a", "b"]


@pytest.mark.parametrize("type_url", FULL)
def test_a_first_wildcard_is_answered_even_if_there_is_nothing(type_url: str) -> None:
    """Envoy waits for the first set before it is ready, so an empty one is news."""
    subscription = SotwSubscription(type_url)
    ask(subscription)
    assert names(subscription.next_response(these())) == []


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
def test_an_accepted_set_is_not_sent_again(type_url: str) -> None:
    """An ACK is never answered: that would be an endless loop."""
    resources = these(a=1)
    subscription, _ = started(type_url, resources, "a")
    assert subscription.next_response(resources) is None
    assert subscription.next_response(these(a=1)) is None


@pytest.mark.parametrize("type_url", FULL)
def test_full_set_types_send_everything_when_one_changes(type_url: str) -> None:
    """What is absent from such a response is deleted."""
    subscription, _ = started(type_url, these(a=1, b=1))
    response = subscription.next_response(these(a=1, b=2))
    assert names(response) == ["a", "b"]
    assert response
    assert response.updated == ("b",)


@pytest.mark.parametrize("type_url", PARTIAL)
def test_partial_types_send_what_changed_only(type_url: str) -> None:
    """What is absent from such a response stays as it was."""
    subscription, _ = started(type_url, these(a=1, b=1), "a", "b")
    assert names(subscription.next_response(these(a=1, b=2))) == ["b"]


@pytest.mark.parametrize("type_url", FULL)
def test_deletion_in_full_set_types_is_absence(type_url: str) -> None:
    """One less is a response; none left is an empty one."""
    subscription, _ = started(type_url, these(a=1, b=1))
    assert names(subscription.next_response(these(a=1))) == ["a"]
    assert names(subscription.next_response(these())) == []


@pytest.mark.parametrize("type_url", PARTIAL)
def test_deletion_in_partial_types_is_not_sent(type_url: str) -> None:
    """Parents imply it; an empty response would say nothing."""
    subscription, _ = started(type_url, these(a=1, b=1), "a", "b")
    assert subscription.next_response(these(a=1)) is None
    assert subscription.next_response(these()) is None


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
def test_resources_that_were_not_asked_for_are_not_sent(type_url: str) -> None:
    """Only names in the subscription count, for the response and for whether one is due."""
    subscription, _ = started(type_url, these(a=1, b=1), "a")
    assert subscription.next_response(these(a=1, b=2)) is None
    assert names(subscription.next_response(these(a=2, b=2))) == ["a"]


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
def test_a_stale_nonce_is_ignored_whole(type_url: str) -> None:
    """Not even its names count: the client will say them again with the latest nonce."""
    subscription, old = started(type_url, these(a=1), "a")
    assert subscription.next_response(these(a=2))
    assert subscription.on_request(names=["a", "b"], nonce=old) == Stale(old)
    assert subscription.next_response(these(a=2, b=1)) is None


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
def test_a_stale_nack_is_ignored_too(type_url: str) -> None:
    """What is rejected is no longer what the client was sent last."""
    subscription, old = started(type_url, these(a=1), "a")
    assert subscription.next_response(these(a=2))
    assert subscription.on_request(names=["a"], nonce=old, error="bad") == Stale(old)


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
def test_a_nonce_from_another_stream_in_the_first_request_is_no_answer(type_url: str) -> None:
    """Nonces do not survive reconnects, and nothing was sent yet."""
    subscription = SotwSubscription(type_url)
    assert subscription.on_request(names=["a"], nonce="of-before") == Subscribed()
    assert names(subscription.next_response(these(a=1))) == ["a"]


def test_nonces_differ_between_responses_and_streams() -> None:
    """A client's answer must say which response it means."""
    nonces = set()
    for prefix in ("s1-", "s2-"):
        subscription = SotwSubscription(CLUSTER, nonce_prefix=prefix)
        ask(subscription)
        for number in range(3):
            response = subscription.next_response(these(a=number))
            assert response
            nonces.add(response.nonce)
    assert len(nonces) == 6


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
def test_a_name_added_with_the_last_nonce_is_answered(type_url: str) -> None:
    """It looks like a second ACK; [E] Envoy does this when a cluster is added."""
    resources = these(a=1, b=1)
    subscription, nonce = started(type_url, resources, "a")
    ask(subscription, "a", "b", nonce=nonce)
    sent = names(subscription.next_response(resources))
    assert sent
    assert "b" in sent
    assert sent == (["a", "b"] if type_url in (CLUSTER, LISTENER) else ["b"])


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
def test_a_name_added_in_an_ack_is_answered(type_url: str) -> None:
    """A request may be an answer and a change at once."""
    resources = these(a=1, b=1)
    subscription = SotwSubscription(type_url)
    ask(subscription, "a")
    response = subscription.next_response(resources)
    assert response
    assert isinstance(subscription.on_request(names=["a", "b"], nonce=response.nonce), Ack)
    assert "b" in (names(subscription.next_response(resources)) or [])


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
def test_the_same_names_with_the_last_nonce_again_are_not_answered(type_url: str) -> None:
    """[E] Envoy repeats its EDS request when a cluster changes; the endpoints are pushed without being asked for."""
    resources = these(a=1)
    subscription, nonce = started(type_url, resources, "a")
    ask(subscription, "a", nonce=nonce)
    assert subscription.next_response(resources) is None


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
def test_a_name_that_was_dropped_and_added_again_is_answered(type_url: str) -> None:
    """The client may have forgotten it meanwhile."""
    resources = these(a=1, b=1)
    subscription, nonce = started(type_url, resources, "a", "b")
    ask(subscription, "a", nonce=nonce)
    assert subscription.next_response(resources) is None
    ask(subscription, "a", "b", nonce=nonce)
    assert "b" in (names(subscription.next_response(resources)) or [])


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
def test_no_names_after_some_is_unsubscription_not_wildcard(type_url: str) -> None:
    """It gets no response, then or later."""
    subscription, nonce = started(type_url, these(a=1, b=1), "a")
    ask(subscription, nonce=nonce)
    assert subscription.next_response(these(a=1, b=1)) is None
    assert subscription.next_response(these(a=2, b=2)) is None


@pytest.mark.parametrize("type_url", FULL)
def test_a_name_after_the_legacy_wildcard_ends_it(type_url: str) -> None:
    """In SotW the list is the whole subscription."""
    subscription, nonce = started(type_url, these(a=1, b=1))
    ask(subscription, "a", nonce=nonce)
    subscription.next_response(these(a=1, b=1))
    assert subscription.next_response(these(a=1, b=2)) is None
    assert names(subscription.next_response(these(a=2, b=2))) == ["a"]


@pytest.mark.parametrize("type_url", FULL)
def test_the_explicit_wildcard_can_be_dropped_and_a_name_kept(type_url: str) -> None:
    """``["*", "a"]`` and then ``["a"]``: no response now, and only ``a`` later."""
    subscription, nonce = started(type_url, these(a=1, b=1), "*", "a")
    ask(subscription, "a", nonce=nonce)
    assert subscription.next_response(these(a=1, b=1)) is None
    assert subscription.next_response(these(a=1, b=2)) is None
    assert names(subscription.next_response(these(a=2, b=2))) == ["a"]


@pytest.mark.parametrize("type_url", FULL)
def test_a_wildcard_added_to_a_name_is_answered_with_everything(type_url: str) -> None:
    """Even if there is nothing but the name."""
    subscription, nonce = started(type_url, these(a=1), "a")
    ask(subscription, "a", "*", nonce=nonce)
    assert names(subscription.next_response(these(a=1))) == ["a"]


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
def test_a_name_that_does_not_exist_gets_no_signal_until_it_does(type_url: str) -> None:
    """The client's own 15 s are its signal; the subscription is remembered."""
    subscription = SotwSubscription(type_url)
    ask(subscription, "a")
    assert subscription.next_response(these(b=1)) is None
    assert subscription.answered(these(b=1)) is Answer.ACCEPTED
    assert names(subscription.next_response(these(a=1, b=1))) == ["a"]


def test_endpoints_of_an_unknown_cluster_are_answered_with_a_placeholder() -> None:
    """Envoy may ask for clusters that only another control plane had; once, and the real ones when they come."""
    subscription = SotwSubscription(ENDPOINT, placeholder=lambda name: Resource.of(name, b"none"))
    ask(subscription, "gone", "here")
    response = subscription.next_response(these(here=1))
    assert names(response) == ["gone", "here"]
    assert response
    assert response.resources[0].value == b"none"
    assert subscription.next_response(these(here=1)) is None
    assert names(subscription.next_response(these(here=1, gone=1))) == ["gone"]


def test_endpoints_that_vanish_are_not_replaced_by_a_placeholder() -> None:
    """An empty set would take a cluster's endpoints away while its removal is still on the way."""
    subscription = SotwSubscription(ENDPOINT, placeholder=lambda name: Resource.of(name, b"none"))
    ask(subscription, "a")
    assert names(subscription.next_response(these(a=1))) == ["a"]
    assert subscription.next_response(these()) is None
    subscription.force(["a"])
    assert subscription.next_response(these()) is None


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
def test_a_rejected_response_is_not_sent_again(type_url: str) -> None:
    """The same bytes would be rejected again, without end."""
    resources = these(a=1)
    subscription, _ = started(type_url, resources, "a")
    response = subscription.next_response(these(a=2))
    assert response
    event = subscription.on_request(names=["a"], nonce=response.nonce, error="bad")
    suspects = (Suspect("a", these(a=2)["a"].version, these(a=1)["a"].version),)
    expected = Nack(nonce=response.nonce, version=response.version, message="bad", names=("a",), suspects=suspects)
    assert event == expected
    assert subscription.next_response(these(a=2)) is None
    assert subscription.answered(these(a=2)) is Answer.REJECTED


@pytest.mark.parametrize("number", [pytest.param(1, id="back"), pytest.param(3, id="onward")])
@pytest.mark.parametrize("type_url", FULL + PARTIAL)
def test_after_a_rejection_the_next_change_is_sent(type_url: str, number: int) -> None:
    """A change back to what the client last accepted is one: it may have applied a part."""
    subscription, _ = started(type_url, these(a=1), "a")
    response = subscription.next_response(these(a=2))
    assert response
    subscription.on_request(names=["a"], nonce=response.nonce, error="bad")
    response = subscription.next_response(these(a=number))
    assert names(response) == ["a"]
    assert response
    subscription.on_request(names=["a"], nonce=response.nonce)
    assert subscription.answered(these(a=number)) is Answer.ACCEPTED


@pytest.mark.parametrize("type_url", SEVERAL)
def test_what_was_rejected_with_something_that_changed_is_sent_again(type_url: str) -> None:
    """Envoy takes nothing of a response that it cannot parse, so the rest of it has to come once more."""
    subscription, _ = started(type_url, these(a=1, b=1, c=1), "a", "b", "c")
    response = subscription.next_response(these(a=2, b=2, c=1))
    assert response
    event = subscription.on_request(names="abc", nonce=response.nonce, error="bad")
    assert isinstance(event, Nack)
    assert [each.name for each in event.suspects] == ["a", "b"]
    assert subscription.next_response(these(a=2, b=2, c=1)) is None
    again = subscription.next_response(these(a=2, b=1, c=1))
    full_set = type_url in (CLUSTER, LISTENER)
    assert names(again) == (["a", "b", "c"] if full_set else ["a", "b"])
    assert again
    subscription.on_request(names="abc", nonce=again.nonce)
    assert subscription.answered(these(a=2, b=1, c=1)) is Answer.ACCEPTED
    assert names(subscription.next_response(these(a=2, b=2, c=1))) == (["a", "b", "c"] if full_set else ["b"])


def test_what_was_never_answered_stays_a_suspect() -> None:
    """A change that comes before the answer to the last one does not make that one good."""
    subscription, _ = started(CLUSTER, these(a=1, b=1))
    assert subscription.next_response(these(a=2, b=1))
    second = subscription.next_response(these(a=2, b=2))
    assert second
    event = subscription.on_request(names=[], nonce=second.nonce, error="bad")
    assert isinstance(event, Nack)
    assert [each.name for each in event.suspects] == ["a", "b"]
    third = subscription.next_response(these(a=2, b=1))
    assert third
    event = subscription.on_request(names=[], nonce=third.nonce, error="bad")
    assert isinstance(event, Nack)
    assert [each.name for each in event.suspects] == ["a"]


def test_a_rejection_is_known_by_its_error_not_by_its_version() -> None:
    """The version says what the client has; an error with the new version would be one too."""
    subscription = SotwSubscription(CLUSTER)
    ask(subscription)
    response = subscription.next_response(these(a=1))
    assert response
    assert isinstance(subscription.on_request(names=[], nonce=response.nonce, error=""), Nack)


def test_the_same_rejection_twice_is_reported_once() -> None:
    """A later request with the same nonce answers nothing new."""
    subscription = SotwSubscription(CLUSTER)
    ask(subscription)
    response = subscription.next_response(these(a=1))
    assert response
    assert isinstance(subscription.on_request(names=[], nonce=response.nonce, error="bad"), Nack)
    assert subscription.on_request(names=[], nonce=response.nonce, error="bad") == Subscribed()


def test_forced_names_are_sent_though_unchanged_if_the_client_has_them() -> None:
    """A changed cluster needs its endpoints again."""
    resources = these(a=1, b=1)
    subscription, _ = started(ENDPOINT, resources, "a", "b")
    subscription.force(["b", "unknown"])
    assert names(subscription.next_response(resources)) == ["b"]
    assert subscription.next_response(resources) is None


def test_an_unanswered_response_is_waited_for() -> None:
    """Only the answer to the latest response counts."""
    subscription, first = started(CLUSTER, these(a=1))
    assert subscription.answered(these(a=1)) is Answer.ACCEPTED
    assert subscription.answered(these(a=2)) is Answer.WAITING
    response = subscription.next_response(these(a=2))
    assert response
    assert subscription.answered(these(a=2)) is Answer.WAITING
    subscription.on_request(names=[], nonce=first)
    assert subscription.answered(these(a=2)) is Answer.WAITING
    subscription.on_request(names=[], nonce=response.nonce)
    assert subscription.answered(these(a=2)) is Answer.ACCEPTED


def test_names_twice_in_a_request_are_sent_once() -> None:
    """A resource twice in one response is an error."""
    subscription = SotwSubscription(ENDPOINT)
    wanted: Iterable[str] = ["a", "a"]
    subscription.on_request(names=list(wanted), nonce="")
    assert names(subscription.next_response(these(a=1))) == ["a"]


def test_each_secret_is_sent_by_itself_and_answered_before_the_next() -> None:
    """So that a rejection is that of one."""
    resources = these(a=1, b=1)
    subscription = SotwSubscription(SECRET)
    subscription.on_request(names=["a", "b"], nonce="")
    first = subscription.next_response(resources)
    assert first
    assert names(first) == ["a"]
    assert subscription.next_response(resources) is None
    nack = subscription.on_request(names=["a", "b"], nonce=first.nonce, error="bad")
    assert isinstance(nack, Nack)
    assert [each.name for each in nack.suspects] == ["a"]
    assert subscription.answered(resources) is Answer.WAITING
    second = subscription.next_response(resources)
    assert second
    assert names(second) == ["b"]
    assert isinstance(subscription.on_request(names=["a", "b"], nonce=second.nonce), Ack)
    assert subscription.next_response(resources) is None
    assert subscription.answered(resources) is Answer.REJECTED
