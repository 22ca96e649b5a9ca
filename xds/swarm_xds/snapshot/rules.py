"""The rules that Envoy's API gives for its messages, and which of them a message breaks.

In: a message. Out: ``Violation`` values. Pure. It must not know what a message is for.

The rules are options of the fields (`protoc-gen-validate <https://github.com/bufbuild/protoc-gen-validate>`_), and so
every message brings its own along; Envoy rejects whatever breaks one. Each type's are read once (docs/adr/036). What is
packed into an ``Any`` is looked into too, as Envoy does when it comes to use it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from operator import ge, gt, le, lt
from typing import Any

from google.protobuf import any_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from udpa.annotations import sensitive_pb2
from validate import validate_pb2

from swarm_xds.problem import shown


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that is broken.

    Attributes:
        path: Where, in the API's names: ``routes[0].redirect.response_code``.
        rule: Which: ``enum.defined_only``; ``required`` for what lacks.
        value: What stands there, on one line; empty if nothing does.
    """

    path: str
    rule: str
    value: str = ""


Test = Callable[[Any], bool]
Check = Callable[[Any], Sequence[Violation]]

#: Packed messages whose verdict is remembered; none has a private key in it.
_REMEMBERED = 4096
_SECOND = 1_000_000_000
_PACKED, _DURATION = "google.protobuf.Any", "google.protobuf.Duration"
_WRAPPERS = frozenset(
    f"google.protobuf.{kind}Value"
    for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)
#: Bounds and how they stand to a value within them.
_BOUNDS: Mapping[str, Callable[[Any, Any], bool]] = {"gt": lt, "gte": le, "lt": gt, "lte": ge}
_KNOWN_REGEX = validate_pb2.KnownRegex
#: As validate.proto defines them; the last is for either kind where a rule is not strict.
_HEADERS = {
    _KNOWN_REGEX.Value("HTTP_HEADER_NAME"): re.compile(r":?[0-9a-zA-Z!#$%&'*+-.^_|~\x60]+"),
    _KNOWN_REGEX.Value("HTTP_HEADER_VALUE"): re.compile(r"[^\x00-\x08\x0A-\x1F\x7F]*"),
}
_LOOSE = re.compile(r"[^\x00\x0A\x0D]*")

#: What each rule asks of a value, given what the rule says. Envoy's API uses these and no others; of a newer one Envoy
#: itself has the first word.
_TESTS: Mapping[str, Callable[[Any], Test]] = {
    "const": lambda given: lambda value: bool(value == given),
    "in": lambda given: frozenset(given).__contains__,
    "not_in": lambda given: lambda value: value not in given,
    "min_len": lambda given: lambda value: len(value) >= given,
    "max_len": lambda given: lambda value: len(value) <= given,
    "min_bytes": lambda given: lambda value: len(value.encode()) >= given,
    "max_bytes": lambda given: lambda value: len(value.encode()) <= given,
    "pattern": lambda given: lambda value: re.search(given, value) is not None,
    "prefix": lambda given: lambda value: value.startswith(given),
    "suffix": lambda given: lambda value: value.endswith(given),
    "min_items": lambda given: lambda value: len(value) >= given,
    "max_items": lambda given: lambda value: len(value) <= given,
    "min_pairs": lambda given: lambda value: len(value) >= given,
    "unique": lambda given: lambda value: not given or len({repr(each) for each in value}) == len(value),
}


def violations(message: Message, *, without: frozenset[str] = frozenset()) -> list[Violation]:
    """Return each rule that a message breaks; fields in ``without`` are not looked at."""
    checks = _checks(message.DESCRIPTOR)
    found: list[Violation] = []
    fields = message.ListFields()
    for field, value in fields:
        check = checks.fields.get(field.number)
        if check is not None and field.name not in without and (bad := check(value)):
            found += _named(field, bad)
    if checks.wanting:
        given = {field.number for field, _ in fields}
        wanting = (each for number, each in checks.wanting.items() if number not in given)
        found += [each for each in wanting if each.path not in without]
    found += [Violation(choice, "required") for choice in checks.choices if message.WhichOneof(choice) is None]
    return found


def _named(field: FieldDescriptor, found: Iterable[Violation]) -> Iterator[Violation]:
    """Yield what was found in a field as its message sees it."""
    hidden = field.GetOptions().Extensions[sensitive_pb2.sensitive]
    for each in found:
        violation = replace(each, path=f"{field.name}{each.path}")
        yield replace(violation, value="[redacted]") if hidden else violation


@dataclass(frozen=True, slots=True)
class _Checks:
    """What is to be looked at in a type's messages.

    Attributes:
        fields: How, by number; of fields that are there.
        wanting: What is wrong with a field that is not there, by number.
        choices: Names of the oneofs of which one must be there.
    """

    fields: Mapping[int, Check]
    wanting: Mapping[int, Violation]
    choices: tuple[str, ...]


@cache
def _checks(descriptor: Descriptor) -> _Checks:
    if _is_exempt(descriptor):
        return _Checks({}, {}, ())
    fields: dict[int, Check] = {}
    wanting: dict[int, Violation] = {}
    for field in descriptor.fields:
        check = _field(field)
        if check is not None:
            fields[field.number] = check
        lack = _lack(field, check)
        if lack is not None:
            wanting[field.number] = lack
    choices = (each.name for each in descriptor.oneofs if each.GetOptions().Extensions[validate_pb2.required])
    return _Checks(fields, wanting, tuple(choices))


def _is_exempt(descriptor: Descriptor) -> bool:
    options = descriptor.GetOptions()
    return bool(options.Extensions[validate_pb2.disabled] or options.Extensions[validate_pb2.ignored])


def _lack(field: FieldDescriptor, check: Check | None) -> Violation | None:
    """Return what is wrong with a message that does not have this field; None if it may lack."""
    kind, rules = _rules(field)
    if field.containing_oneof is not None or rules is None:
        return None
    if field.is_repeated or not field.has_presence:
        empty: Any = () if field.is_repeated else field.default_value
        return next(_named(field, check(empty)), None) if check is not None else None
    required = field.GetOptions().Extensions[validate_pb2.rules].message.required or (
        kind in ("duration", "any") and rules.required
    )
    return Violation(field.name, "required") if required else None


def _rules(field: FieldDescriptor) -> tuple[str, Any]:
    """Return the kind of a field's rules and the rules; None where it has none."""
    options = field.GetOptions()
    return _of_kind(options.Extensions[validate_pb2.rules]) if options.HasExtension(validate_pb2.rules) else ("", None)


def _of_kind(rules: Any) -> tuple[str, Any]:
    kind = rules.WhichOneof("type")
    # Beside those of its kind there may be those of any message.
    return (kind, getattr(rules, kind)) if kind else ("message", rules.message)


def _field(field: FieldDescriptor) -> Check | None:
    """Return how a field that is there is looked at; None if nothing is to be found in it."""
    kind, rules = _rules(field)
    if field.is_repeated:
        return _map(field, kind, rules) if _is_map(field) else _list(field, kind, rules)
    return _value(field, kind, rules)


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _list(field: FieldDescriptor, kind: str, rules: Any) -> Check | None:
    whole = _tests(kind, rules) if kind == "repeated" else ()
    inner = _of_kind(rules.items) if kind == "repeated" and rules.HasField("items") else ("", None)
    check = _value(field, *inner)
    if not whole and check is None:
        return None

    def each(values: Any) -> list[Violation]:
        found = [Violation("", rule, f"{len(values)} of them") for rule, test in whole if not test(values)]
        if check is not None:
            for index, value in enumerate(values):
                if bad := check(value):
                    found += [replace(one, path=f"[{index}]{one.path}") for one in bad]
        return found

    return each


def _map(field: FieldDescriptor, kind: str, rules: Any) -> Check | None:
    whole = _tests(kind, rules) if kind == "map" else ()
    entry = field.message_type.fields_by_name if field.message_type is not None else {}
    about: dict[str, tuple[str, Any]] = {
        part: _of_kind(getattr(rules, part)) if kind == "map" and rules.HasField(part) else ("", None)
        for part in ("keys", "values")
    }
    keys, values = _value(entry["key"], *about["keys"]), _value(entry["value"], *about["values"])
    if not whole and keys is None and values is None:
        return None

    def each(pairs: Any) -> list[Violation]:
        found = [Violation("", rule, f"{len(pairs)} of them") for rule, test in whole if not test(pairs)]
        for key in sorted(pairs):
            bad = [*(keys(key) if keys is not None else ()), *(values(pairs[key]) if values is not None else ())]
            found += [replace(one, path=f"[{shown(str(key))}]{one.path}") for one in bad]
        return found

    return each


def _value(field: FieldDescriptor, kind: str, rules: Any) -> Check | None:
    """Return how one value is looked at, which is the field's or one of several."""
    message = field.message_type
    if message is None or message.full_name in _WRAPPERS or message.full_name == _DURATION:
        tests = list(_tests(kind, rules))
        enum = field.enum_type
        if enum is not None and kind == "enum" and rules.defined_only:
            tests.append(("enum.defined_only", enum.values_by_number.__contains__))
        may_be_empty = kind == "string" and rules.ignore_empty
        return _plain(message, tests, may_be_empty=may_be_empty) if tests else None
    if kind == "message" and rules is not None and rules.skip:
        return None
    if message.full_name == _PACKED:
        return _packed(_tests(kind, rules) if kind == "any" else ())
    if not _can_be_bad(message):
        return None
    return _inner


def _inner(value: Message) -> list[Violation]:
    return [replace(each, path=f".{each.path}") for each in violations(value)]


def _plain(message: Descriptor | None, tests: list[tuple[str, Test]], *, may_be_empty: bool) -> Check:
    def check(given: Any) -> Sequence[Violation]:
        value = given
        if message is not None:
            value = _number(given) if message.full_name == _DURATION else given.value
        if may_be_empty and not value:
            return ()
        for _, test in tests:
            if not test(value):
                return [Violation("", rule, _text(given, value)) for rule, test in tests if not test(value)]
        return ()

    return check


def _text(given: Any, value: Any) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return f"{_number(given) / _SECOND:g}s" if isinstance(given, Duration) else shown(str(value))


def _packed(tests: tuple[tuple[str, Test], ...]) -> Check:
    def check(value: any_pb2.Any) -> Sequence[Violation]:
        found = [Violation(".type_url", rule, value.type_url) for rule, test in tests if not test(value.type_url)]
        return found or _inside(value.TypeName(), value.value)

    return check


@lru_cache(maxsize=_REMEMBERED)
def _inside(name: str, value: bytes) -> tuple[Violation, ...]:
    """Return what is wrong with a packed message; most are the same in every resource."""
    kind = _class(name)
    if kind is None:
        return ()
    return tuple(_inner(kind.FromString(value)))


@cache
def _class(name: str) -> type[Message] | None:
    try:
        descriptor = descriptor_pool.Default().FindMessageTypeByName(name)
    except KeyError:
        return None
    return message_factory.GetMessageClass(descriptor) if _can_be_bad(descriptor) else None


@cache
def _can_be_bad(descriptor: Descriptor) -> bool:
    """Whether any rule is to be found in a type, or in those that it is made of."""
    seen, ahead = set[str](), [descriptor]
    while ahead:
        each = ahead.pop()
        if each.full_name == _PACKED:
            return True
        if each.full_name in seen or _is_exempt(each):
            continue
        seen.add(each.full_name)
        if any(choice.GetOptions().Extensions[validate_pb2.required] for choice in each.oneofs):
            return True
        if any(field.GetOptions().HasExtension(validate_pb2.rules) for field in each.fields):
            return True
        ahead += [field.message_type for field in each.fields if field.message_type is not None]
    return False


def _tests(kind: str, rules: Any) -> tuple[tuple[str, Test], ...]:
    """Return what rules of one kind ask of a value, by the rules' names."""
    if rules is None or kind == "message":
        return ()
    found: list[tuple[str, Test]] = []
    bounds: list[tuple[str, Any]] = []
    for field, given in rules.ListFields():
        if field.name in _BOUNDS:
            bounds.append((field.name, given))
        elif field.name == "well_known_regex":
            pattern = _HEADERS[given] if rules.strict else _LOOSE
            found.append((f"string.well_known_regex {_KNOWN_REGEX.Name(given)}", _matching(pattern)))
        elif field.name in _TESTS:
            found.append((f"{kind}.{field.name}", _TESTS[field.name](given)))
    if bounds:
        names = " ".join(f"{name} {_text(given, given)}" for name, given in bounds)
        found.append((f"{kind}.{names}", _within({name: _number(given) for name, given in bounds})))
    return tuple(found)


def _matching(pattern: re.Pattern[str]) -> Test:
    return lambda value: pattern.fullmatch(value) is not None


def _within(bounds: Mapping[str, Any]) -> Test:
    tests = [partial(_BOUNDS[name], limit) for name, limit in bounds.items()]
    if len(tests) == 1:
        return tests[0]
    one, other = tests
    lower, upper = bounds.get("gt", bounds.get("gte")), bounds.get("lt", bounds.get("lte"))
    if lower > upper:
        # Bounds the wrong way round leave out what is between them.
        return lambda value: one(value) or other(value)
    return lambda value: one(value) and other(value)


def _number(given: Any) -> Any:
    # Not by its own methods, which raise on durations that are none.
    return given.seconds * _SECOND + given.nanos if isinstance(given, Duration) else given
