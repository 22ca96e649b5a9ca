"""Incremental rules, one test each; the names are a table of conformance."""

import pytest

from swarm_xds.server.delta import DeltaSubscription
from swarm_xds.server.subscription import Ack, Answer, Nack, Response, Stale, Subscribed, Suspect
from swarm_xds.snapshot import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, Resource, Resources

FULL = [pytest.param(CLUSTER, id="cds"), pytest.param(LISTENER, id="lds")]
PARTIAL = [pytest.param(ENDPOINT, id="eds"), pytest.param(ROUTE, id="rds"), pytest.param(SECRET, id="sds")]
#: Types of which one response may have several.
SEVERAL = FULL + PARTIAL[:-1]


def these(**versions: int) -> Resources:
    """Resources by name with content that differs by number."""
    return Resources(Resource.of(name, f"{name}{number}".encode()) for name, number in versions.items())


def versions(resources: Resources) -> dict[str, str]:
    """What a client that has these says on a new stream."""
    return {name: resource.version for name, resource in resources.items()}


def content(response: Response | None) -> tuple[list[str], list[str]] | None:
    """Names sent and names removed; ``None`` for no response."""
    return None if response is None else ([r.name for r in response.resources], list(response.removed))


def started(type_url: str, resources: Resources, *wanted: str) -> DeltaSubscription:
    """A subscription that has its first response and has accepted it."""
    subscription = DeltaSubscription(type_url)
    subscription.on_request(subscribe=wanted)
    response = subscription.next_response(resources)
    assert response
    assert isinstance(subscription.on_request(nonce=response.nonce), Ack)
    return subscription


@pytest.mark.parametrize("type_url", FULL)
def test_a_first_request_with_both_lists_empty_is_the_legacy_wildcard(type_url: str) -> None:
    """Nothing named means everything."""
    subscription = DeltaSubscription(type_url)
    subscription.on_request()
    assert content(subscription.next_response(these(a=1, b=1))) == (["a", "b"], [])


@pytest.mark.parametrize("type_url", FULL)
def test_a_first_request_that_only_unsubscribes_is_no_wildcard(type_url: str) -> None:
    """One of the lists is not empty."""
    subscription = DeltaSubscription(type_url)
    subscription.on_request(unsubscribe=["x"])
    assert subscription.next_response(these(a=1)) is None


@pytest.mark.parametrize("type_url", FULL)
def test_a_later_empty_request_is_no_wildcard(type_url: str) -> None:
    """Legacy is for the first request only."""
    subscription = started(type_url, these(a=1, b=1), "a")
    subscription.on_request()
    assert subscription.next_response(these(a=1, b=2)) is None


@pytest.mark.parametrize("type_url", PARTIAL)
def test_there_is_no_legacy_wildcard_for_other_types(type_url: str) -> None:
    """Nothing named means nothing."""
    subscription = DeltaSubscription(type_url)
    subscription.on_request()
    assert subscription.next_response(these(a=1)) is None


@pytest.mark.parametrize("type_url", SEVERAL)
def test_an_asterisk_is_the_explicit_wildcard(type_url: str) -> None:
    """``*`` means everything."""
    subscription = DeltaSubscription(type_url)
    subscription.on_request(subscribe=["*"])
    assert content(subscription.next_response(these(a=1, b=1))) == (["a", "b"], [])


@pytest.mark.parametrize("type_url", FULL)
def test_a_first_wildcard_is_answered_even_if_there_is_nothing(type_url: str) -> None:
    """Envoy waits for it before it is ready."""
    subscription = DeltaSubscription(type_url)
    subscription.on_request()
    assert content(subscription.next_response(these())) == ([], [])
    assert subscription.next_response(these()) is None


@pytest.mark.parametrize("type_url", SEVERAL)
def test_only_what_changed_is_sent(type_url: str) -> None:
    """Changed, new and removed; never what the client has."""
    subscription = started(type_url, these(a=1, b=1, c=1), "*")
    assert content(subscription.next_response(these(a=1, b=2, d=1))) == (["b", "d"], ["c"])
    assert subscription.next_response(these(a=1, b=2, d=1)) is None


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
def test_each_resource_says_its_version(type_url: str) -> None:
    """Clients return them as ``initial_resource_versions``."""
    subscription = DeltaSubscription(type_url)
    subscription.on_request(subscribe=["a"])
    response = subscription.next_response(these(a=1))
    assert response
    assert response.resources[0].version == these(a=1)["a"].version
    assert response.nonce


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
def test_a_client_that_comes_back_with_everything_is_sent_nothing(type_url: str) -> None:
    """Versions are of content, so they hold across restarts and replicas."""
    resources = these(a=1, b=1)
    subscription = DeltaSubscription(type_url)
    subscription.on_request(subscribe=["a", "b"], initial=versions(resources))
    assert subscription.next_response(resources) is None
    assert subscription.answered(resources) is Answer.ACCEPTED


@pytest.mark.parametrize("type_url", FULL)
def test_a_legacy_wildcard_that_comes_back_with_everything_is_sent_nothing(type_url: str) -> None:
    """[E] Envoy sends empty lists and the map."""
    resources = these(a=1, b=1)
    subscription = DeltaSubscription(type_url)
    subscription.on_request(initial=versions(resources))
    assert subscription.next_response(resources) is None


@pytest.mark.parametrize("type_url", SEVERAL)
def test_a_client_that_comes_back_is_sent_the_difference(type_url: str) -> None:
    """What changed, what is new, and what to forget."""
    subscription = DeltaSubscription(type_url)
    subscription.on_request(subscribe=["*"], initial=versions(these(a=1, b=1, c=1)))
    assert content(subscription.next_response(these(a=1, b=2, d=1))) == (["b", "d"], ["c"])


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
def test_a_named_resource_that_is_gone_when_the_client_comes_back_is_removed(type_url: str) -> None:
    """It has it, we do not."""
    subscription = DeltaSubscription(type_url)
    subscription.on_request(subscribe=["a", "b"], initial=versions(these(a=1, b=1)))
    assert content(subscription.next_response(these(a=1))) == ([], ["b"])


def test_initial_versions_count_in_the_first_request_only() -> None:
    """Later the server knows better."""
    subscription = started(CLUSTER, these(a=1), "*")
    subscription.on_request(initial=versions(these(a=2)))
    assert content(subscription.next_response(these(a=2))) == (["a"], [])


def test_initial_versions_of_what_is_not_asked_for_do_not_count() -> None:
    """What the client no longer wants it forgets by itself."""
    subscription = DeltaSubscription(ENDPOINT)
    subscription.on_request(subscribe=["a"], initial=versions(these(a=1, b=1)))
    assert subscription.next_response(these(a=1)) is None


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
def test_every_subscribed_name_is_answered_even_if_unchanged(type_url: str) -> None:
    """The client may have forgotten it."""
    resources = these(a=1, b=1)
    subscription = started(type_url, resources, "a", "b")
    subscription.on_request(subscribe=["a"])
    assert content(subscription.next_response(resources)) == (["a"], [])


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
def test_a_subscribed_name_that_does_not_exist_is_answered_as_removed(type_url: str) -> None:
    """And is sent when it appears."""
    subscription = DeltaSubscription(type_url)
    subscription.on_request(subscribe=["a", "b"])
    assert content(subscription.next_response(these(a=1))) == (["a"], ["b"])
    assert subscription.next_response(these(a=1)) is None
    assert content(subscription.next_response(these(a=1, b=1))) == (["b"], [])


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
def test_a_subscription_with_a_stale_nonce_counts(type_url: str) -> None:
    """Nonces only match answers to responses."""
    subscription = started(type_url, these(a=1), "a")
    assert subscription.on_request(subscribe=["b"], nonce="stale") == Stale("stale")
    assert content(subscription.next_response(these(a=1, b=1))) == (["b"], [])


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
def test_a_subscription_within_an_ack_or_nack_counts(type_url: str) -> None:
    """Any message may change the subscription."""
    for error in (None, "bad"):
        subscription = DeltaSubscription(type_url)
        subscription.on_request(subscribe=["a"])
        response = subscription.next_response(these(a=1, b=1))
        assert response
        subscription.on_request(subscribe=["b"], nonce=response.nonce, error=error)
        assert content(subscription.next_response(these(a=1, b=1))) == (["b"], [])


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
def test_unsubscription_gets_no_response(type_url: str) -> None:
    """Then or later."""
    subscription = started(type_url, these(a=1, b=1), "a", "b")
    subscription.on_request(unsubscribe=["b"])
    assert subscription.next_response(these(a=1, b=1)) is None
    assert subscription.next_response(these(a=1, b=2)) is None
    assert subscription.next_response(these(a=1)) is None


@pytest.mark.parametrize("type_url", FULL)
def test_unsubscription_from_all_names_is_no_wildcard(type_url: str) -> None:
    """Nothing is left."""
    subscription = started(type_url, these(a=1), "a")
    subscription.on_request(unsubscribe=["a"])
    assert subscription.next_response(these(a=2, b=1)) is None


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
def test_unknown_unsubscriptions_are_ignored(type_url: str) -> None:
    """Neither answered nor an error."""
    for wanted in ("a", "*"):
        subscription = started(type_url, these(a=1), wanted)
        subscription.on_request(unsubscribe=["x"])
        assert subscription.next_response(these(a=1)) is None


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
def test_unsubscription_of_a_name_beside_the_wildcard_resends_it(type_url: str) -> None:
    """The client cannot know whether the wildcard covers it."""
    subscription = started(type_url, these(a=1, b=1), "*", "a")
    subscription.on_request(unsubscribe=["a"])
    assert content(subscription.next_response(these(a=1, b=1))) == (["a"], [])


@pytest.mark.parametrize("type_url", FULL + PARTIAL)
def test_unsubscription_of_a_missing_name_beside_the_wildcard_removes_it(type_url: str) -> None:
    """The other way to tell."""
    subscription = started(type_url, these(b=1), "*", "a")
    subscription.on_request(unsubscribe=["a"])
    assert content(subscription.next_response(these(b=1))) == ([], ["a"])


@pytest.mark.parametrize("type_url", FULL)
def test_a_name_beside_the_legacy_wildcard_keeps_it(type_url: str) -> None:
    """In delta a name is an addition."""
    subscription = started(type_url, these(a=1, b=1))
    subscription.on_request(subscribe=["a"])
    assert content(subscription.next_response(these(a=1, b=1))) == (["a"], [])
    assert content(subscription.next_response(these(a=1, b=2))) == (["b"], [])


@pytest.mark.parametrize("wanted", [pytest.param(["*", "a"], id="explicit"), pytest.param([], id="legacy")])
@pytest.mark.parametrize("type_url", FULL)
def test_unsubscription_from_the_wildcard_keeps_names(type_url: str, wanted: list[str]) -> None:
    """``*`` is a name like others here."""
    subscription = started(type_url, these(a=1, b=1), *wanted)
    subscription.on_request(subscribe=["a"])
    subscription.next_response(these(a=1, b=1))
    subscription.on_request(unsubscribe=["*"])
    assert subscription.next_response(these(a=1, b=1)) is None
    assert subscription.next_response(these(a=1, b=2)) is None
    assert content(subscription.next_response(these(a=2, b=2))) == (["a"], [])


@pytest.mark.parametrize("order", [["*", "a"], ["a", "*"]], ids=["wildcard first", "name first"])
def test_unsubscription_from_wildcard_and_name_at_once_gets_no_response(order: list[str]) -> None:
    """Nothing is asked for any more, in whatever order it is said."""
    subscription = started(CLUSTER, these(a=1, b=1), "*", "a")
    subscription.on_request(unsubscribe=order)
    assert subscription.next_response(these(a=2, b=2)) is None


@pytest.mark.parametrize("type_url", SEVERAL)
def test_a_rejected_resource_is_not_sent_again_until_it_changes(type_url: str) -> None:
    """Others are, meanwhile."""
    subscription = started(type_url, these(a=1, b=1), "*")
    response = subscription.next_response(these(a=2, b=1))
    assert response
    event = subscription.on_request(nonce=response.nonce, error="bad")
    suspects = (Suspect("a", these(a=2)["a"].version, these(a=1)["a"].version),)
    expected = Nack(nonce=response.nonce, version=response.version, message="bad", names=("a",), suspects=suspects)
    assert event == expected
    assert subscription.next_response(these(a=2, b=1)) is None
    assert subscription.answered(these(a=2, b=1)) is Answer.REJECTED
    assert content(subscription.next_response(these(a=2, b=2))) == (["b"], [])
    assert content(subscription.next_response(these(a=1, b=2))) == (["a"], [])


@pytest.mark.parametrize("type_url", SEVERAL)
@pytest.mark.parametrize("b", [{"b": 1}, {"b": 3}, {}], ids=["back", "onward", "gone"])
def test_what_was_rejected_with_something_that_changed_is_sent_again(type_url: str, b: dict[str, int]) -> None:
    """Envoy takes nothing of a response that it cannot parse, so the rest of it has to come once more."""
    subscription = started(type_url, these(a=1, b=1, c=1), "*")
    response = subscription.next_response(these(a=2, b=2, c=1))
    assert response
    event = subscription.on_request(nonce=response.nonce, error="bad")
    assert isinstance(event, Nack)
    assert [(each.name, each.accepted) for each in event.suspects] == [
        (name, these(**{name: 1})[name].version) for name in "ab"
    ]
    assert subscription.next_response(these(a=2, b=2, c=1)) is None
    other = subscription.next_response(these(a=2, b=2, c=2))
    assert content(other) == (["c"], [])
    assert other
    subscription.on_request(nonce=other.nonce)
    again = subscription.next_response(these(a=2, c=2, **b))
    assert content(again) == ((["a", "b"], []) if b else (["a"], ["b"]))
    assert again
    subscription.on_request(nonce=again.nonce)
    assert subscription.answered(these(a=2, c=2, **b)) is Answer.ACCEPTED
    assert subscription.next_response(these(a=2, c=3, **b)) is not None


def test_what_was_accepted_before_is_no_suspect() -> None:
    """Neither if it is sent again, nor if a client brought it along, nor if it is a change back."""
    subscription = DeltaSubscription(ENDPOINT)
    subscription.on_request(subscribe=["*", "a"], initial=versions(these(a=1, b=1)))
    subscription.force(["a"])
    response = subscription.next_response(these(a=1, b=2))
    assert response
    event = subscription.on_request(nonce=response.nonce, error="bad")
    assert isinstance(event, Nack)
    assert event.names == ("a", "b")
    assert [each.name for each in event.suspects] == ["b"]
    response = subscription.next_response(these(a=2, b=1))
    assert response
    event = subscription.on_request(nonce=response.nonce, error="bad")
    assert isinstance(event, Nack)
    assert [(each.name, each.accepted) for each in event.suspects] == [("a", these(a=1)["a"].version)]


def test_what_was_never_answered_stays_a_suspect() -> None:
    """Until a response with it is accepted; what it had before all of them is what the client has."""
    subscription = started(ENDPOINT, these(a=1), "*")
    assert subscription.next_response(these(a=2))
    second = subscription.next_response(these(a=3))
    assert second
    event = subscription.on_request(nonce=second.nonce, error="bad")
    assert isinstance(event, Nack)
    assert event.suspects == (Suspect("a", these(a=3)["a"].version, these(a=1)["a"].version),)


def test_answers_match_their_own_response_not_only_the_last() -> None:
    """Each response carries other resources, so each answer counts."""
    subscription = started(CLUSTER, these(a=1), "*")
    first, second = subscription.next_response(these(a=2)), subscription.next_response(these(a=2, b=1))
    assert first
    assert second
    assert subscription.on_request(nonce=second.nonce) == Ack(nonce=second.nonce, version=second.version)
    assert subscription.answered(these(a=2, b=1)) is Answer.WAITING
    assert isinstance(subscription.on_request(nonce=first.nonce, error="bad"), Nack)
    assert subscription.answered(these(a=2, b=1)) is Answer.REJECTED


def test_a_nonce_from_another_stream_in_the_first_request_is_no_answer() -> None:
    """Nothing was sent yet."""
    subscription = DeltaSubscription(ENDPOINT)
    assert not isinstance(subscription.on_request(subscribe=["a"], nonce="of-before"), Ack | Nack)
    assert content(subscription.next_response(these(a=1))) == (["a"], [])


def test_a_client_that_never_answers_costs_no_memory_without_end() -> None:
    """The oldest answers are given up."""
    subscription = started(CLUSTER, these(a=0), "*")
    nonces = []
    for number in range(1, 200):
        response = subscription.next_response(these(a=number))
        assert response
        nonces.append(response.nonce)
    assert subscription.on_request(nonce=nonces[0]) == Stale(nonces[0])
    assert isinstance(subscription.on_request(nonce=nonces[-1]), Ack)


def test_removals_can_be_held_back() -> None:
    """What a client brought along may still be in use by its routes."""
    subscription = DeltaSubscription(CLUSTER)
    subscription.on_request(initial=versions(these(a=1, b=1)))
    assert subscription.resumed
    assert content(subscription.next_response(these(b=1, c=1), removals=False)) == (["c"], [])
    assert subscription.next_response(these(b=1, c=1), removals=False) is None
    assert content(subscription.next_response(these(b=1, c=1), removals=True)) == ([], ["a"])


def test_a_missing_name_is_answered_while_removals_are_held_back() -> None:
    """A question needs its answer."""
    subscription = DeltaSubscription(CLUSTER)
    subscription.on_request(subscribe=["a"])
    assert content(subscription.next_response(these(), removals=False)) == ([], ["a"])


def test_forced_names_are_sent_though_unchanged_if_the_client_has_them() -> None:
    """A changed cluster needs its endpoints again, and an incremental client does not ask."""
    resources = these(a=1, b=1)
    subscription = DeltaSubscription(ENDPOINT)
    subscription.on_request(subscribe=["a", "b"], initial=versions(resources))
    subscription.force(["b", "unknown"])
    assert content(subscription.next_response(resources)) == (["b"], [])


def test_a_request_without_nonce_answers_nothing() -> None:
    """It changes subscriptions only."""
    assert started(CLUSTER, these(a=1)).on_request() == Subscribed()


def test_each_secret_is_sent_by_itself() -> None:
    """So that a rejection is that of one; the next does not wait for the answer to it."""
    resources = these(a=1, b=1, c=1)
    subscription = DeltaSubscription(SECRET)
    subscription.on_request(subscribe=["a", "b", "c"])
    first, second, third = (subscription.next_response(resources) for _ in range(3))
    assert first
    assert second
    assert third
    assert [content(each) for each in (first, second, third)] == [(["a"], []), (["b"], []), (["c"], [])]
    assert subscription.next_response(resources) is None
    assert subscription.answered(resources) is Answer.WAITING
    assert isinstance(subscription.on_request(nonce=first.nonce), Ack)
    nack = subscription.on_request(nonce=second.nonce, error="bad")
    assert isinstance(nack, Nack)
    assert nack.suspects == (Suspect("b", resources["b"].version, ""),)
    assert isinstance(subscription.on_request(nonce=third.nonce), Ack)
    assert subscription.answered(resources) is Answer.REJECTED
    assert content(subscription.next_response(these(a=1, b=2, c=1))) == (["b"], [])


def test_secrets_are_not_sent_without_end_before_an_answer() -> None:
    """What is remembered of a client is bounded, and no rejection is forgotten."""
    resources = these(**{f"s{number:02}": 1 for number in range(40)})
    subscription = DeltaSubscription(SECRET)
    subscription.on_request(subscribe=resources.keys())
    sent = []
    while response := subscription.next_response(resources):
        sent.append(response)
    assert len(sent) < 40
    subscription.on_request(nonce=sent[0].nonce)
    assert content(subscription.next_response(resources)) == ([f"s{len(sent):02}"], [])
