import datetime

from google.protobuf import any_pb2 as _any_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Standing(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STANDING_UNSPECIFIED: _ClassVar[Standing]
    STANDING_CURRENT: _ClassVar[Standing]
    STANDING_WAITING: _ClassVar[Standing]
    STANDING_REFUSED: _ClassVar[Standing]
    STANDING_GONE: _ClassVar[Standing]
STANDING_UNSPECIFIED: Standing
STANDING_CURRENT: Standing
STANDING_WAITING: Standing
STANDING_REFUSED: Standing
STANDING_GONE: Standing

class Problem(_message.Message):
    __slots__ = ("severity", "kind", "service", "label", "value", "reason", "cure", "source")
    class Severity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        SEVERITY_UNSPECIFIED: _ClassVar[Problem.Severity]
        SEVERITY_INFO: _ClassVar[Problem.Severity]
        SEVERITY_WARNING: _ClassVar[Problem.Severity]
        SEVERITY_ERROR: _ClassVar[Problem.Severity]
    SEVERITY_UNSPECIFIED: Problem.Severity
    SEVERITY_INFO: Problem.Severity
    SEVERITY_WARNING: Problem.Severity
    SEVERITY_ERROR: Problem.Severity
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CURE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    severity: Problem.Severity
    kind: str
    service: str
    label: str
    value: str
    reason: str
    cure: str
    source: str
    def __init__(self, severity: _Optional[_Union[Problem.Severity, str]] = ..., kind: _Optional[str] = ..., service: _Optional[str] = ..., label: _Optional[str] = ..., value: _Optional[str] = ..., reason: _Optional[str] = ..., cure: _Optional[str] = ..., source: _Optional[str] = ...) -> None: ...

class ListRoutesRequest(_message.Message):
    __slots__ = ("fleet",)
    FLEET_FIELD_NUMBER: _ClassVar[int]
    fleet: str
    def __init__(self, fleet: _Optional[str] = ...) -> None: ...

class ListRoutesResponse(_message.Message):
    __slots__ = ("routes",)
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    routes: _containers.RepeatedCompositeFieldContainer[Route]
    def __init__(self, routes: _Optional[_Iterable[_Union[Route, _Mapping]]] = ...) -> None: ...

class Route(_message.Message):
    __slots__ = ("fleet", "host", "path", "services", "shares", "redirect", "strip_prefix", "scheme")
    FLEET_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    REDIRECT_FIELD_NUMBER: _ClassVar[int]
    STRIP_PREFIX_FIELD_NUMBER: _ClassVar[int]
    SCHEME_FIELD_NUMBER: _ClassVar[int]
    fleet: str
    host: str
    path: str
    services: _containers.RepeatedScalarFieldContainer[str]
    shares: _containers.RepeatedCompositeFieldContainer[Share]
    redirect: str
    strip_prefix: bool
    scheme: str
    def __init__(self, fleet: _Optional[str] = ..., host: _Optional[str] = ..., path: _Optional[str] = ..., services: _Optional[_Iterable[str]] = ..., shares: _Optional[_Iterable[_Union[Share, _Mapping]]] = ..., redirect: _Optional[str] = ..., strip_prefix: _Optional[bool] = ..., scheme: _Optional[str] = ...) -> None: ...

class Share(_message.Message):
    __slots__ = ("cluster", "weight", "endpoints")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    weight: int
    endpoints: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, cluster: _Optional[str] = ..., weight: _Optional[int] = ..., endpoints: _Optional[_Iterable[str]] = ...) -> None: ...

class ListServicesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListServicesResponse(_message.Message):
    __slots__ = ("services",)
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    services: _containers.RepeatedCompositeFieldContainer[Service]
    def __init__(self, services: _Optional[_Iterable[_Union[Service, _Mapping]]] = ...) -> None: ...

class Service(_message.Message):
    __slots__ = ("name", "stack", "routes", "tasks_running", "tasks_stopping", "networks", "problems", "source")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STACK_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    TASKS_RUNNING_FIELD_NUMBER: _ClassVar[int]
    TASKS_STOPPING_FIELD_NUMBER: _ClassVar[int]
    NETWORKS_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    stack: str
    routes: _containers.RepeatedScalarFieldContainer[str]
    tasks_running: int
    tasks_stopping: int
    networks: _containers.RepeatedScalarFieldContainer[str]
    problems: _containers.RepeatedCompositeFieldContainer[Problem]
    source: str
    def __init__(self, name: _Optional[str] = ..., stack: _Optional[str] = ..., routes: _Optional[_Iterable[str]] = ..., tasks_running: _Optional[int] = ..., tasks_stopping: _Optional[int] = ..., networks: _Optional[_Iterable[str]] = ..., problems: _Optional[_Iterable[_Union[Problem, _Mapping]]] = ..., source: _Optional[str] = ...) -> None: ...

class ListProblemsRequest(_message.Message):
    __slots__ = ("at_least", "service")
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    at_least: Problem.Severity
    service: str
    def __init__(self, at_least: _Optional[_Union[Problem.Severity, str]] = ..., service: _Optional[str] = ...) -> None: ...

class ListProblemsResponse(_message.Message):
    __slots__ = ("problems",)
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    problems: _containers.RepeatedCompositeFieldContainer[Problem]
    def __init__(self, problems: _Optional[_Iterable[_Union[Problem, _Mapping]]] = ...) -> None: ...

class ListNodesRequest(_message.Message):
    __slots__ = ("fleet",)
    FLEET_FIELD_NUMBER: _ClassVar[int]
    fleet: str
    def __init__(self, fleet: _Optional[str] = ...) -> None: ...

class ListNodesResponse(_message.Message):
    __slots__ = ("nodes",)
    NODES_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[Node]
    def __init__(self, nodes: _Optional[_Iterable[_Union[Node, _Mapping]]] = ...) -> None: ...

class Node(_message.Message):
    __slots__ = ("fleet", "node", "address", "variant", "streams", "since", "standing", "types")
    FLEET_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    STANDING_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    fleet: str
    node: str
    address: str
    variant: str
    streams: int
    since: _timestamp_pb2.Timestamp
    standing: Standing
    types: _containers.RepeatedCompositeFieldContainer[TypeState]
    def __init__(self, fleet: _Optional[str] = ..., node: _Optional[str] = ..., address: _Optional[str] = ..., variant: _Optional[str] = ..., streams: _Optional[int] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., standing: _Optional[_Union[Standing, str]] = ..., types: _Optional[_Iterable[_Union[TypeState, _Mapping]]] = ...) -> None: ...

class TypeState(_message.Message):
    __slots__ = ("type_url", "intended", "sent", "acknowledged", "standing", "since", "refusal")
    TYPE_URL_FIELD_NUMBER: _ClassVar[int]
    INTENDED_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    STANDING_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    type_url: str
    intended: str
    sent: str
    acknowledged: str
    standing: Standing
    since: _timestamp_pb2.Timestamp
    refusal: Refusal
    def __init__(self, type_url: _Optional[str] = ..., intended: _Optional[str] = ..., sent: _Optional[str] = ..., acknowledged: _Optional[str] = ..., standing: _Optional[_Union[Standing, str]] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("version", "message", "names", "at")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    version: str
    message: str
    names: _containers.RepeatedScalarFieldContainer[str]
    at: _timestamp_pb2.Timestamp
    def __init__(self, version: _Optional[str] = ..., message: _Optional[str] = ..., names: _Optional[_Iterable[str]] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListNetworksRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListNetworksResponse(_message.Message):
    __slots__ = ("managed", "networks", "steps")
    MANAGED_FIELD_NUMBER: _ClassVar[int]
    NETWORKS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    managed: bool
    networks: _containers.RepeatedCompositeFieldContainer[NetworkUse]
    steps: _containers.RepeatedCompositeFieldContainer[NetworkStep]
    def __init__(self, managed: _Optional[bool] = ..., networks: _Optional[_Iterable[_Union[NetworkUse, _Mapping]]] = ..., steps: _Optional[_Iterable[_Union[NetworkStep, _Mapping]]] = ...) -> None: ...

class NetworkUse(_message.Message):
    __slots__ = ("fleet", "network", "stack", "way", "reason", "services", "relay", "relay_tasks_wanted", "relay_tasks_running")
    FLEET_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    STACK_FIELD_NUMBER: _ClassVar[int]
    WAY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    RELAY_FIELD_NUMBER: _ClassVar[int]
    RELAY_TASKS_WANTED_FIELD_NUMBER: _ClassVar[int]
    RELAY_TASKS_RUNNING_FIELD_NUMBER: _ClassVar[int]
    fleet: str
    network: str
    stack: str
    way: str
    reason: str
    services: _containers.RepeatedScalarFieldContainer[str]
    relay: str
    relay_tasks_wanted: int
    relay_tasks_running: int
    def __init__(self, fleet: _Optional[str] = ..., network: _Optional[str] = ..., stack: _Optional[str] = ..., way: _Optional[str] = ..., reason: _Optional[str] = ..., services: _Optional[_Iterable[str]] = ..., relay: _Optional[str] = ..., relay_tasks_wanted: _Optional[int] = ..., relay_tasks_running: _Optional[int] = ...) -> None: ...

class NetworkStep(_message.Message):
    __slots__ = ("action", "name", "network", "fleet", "reason", "waits_for")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    FLEET_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    WAITS_FOR_FIELD_NUMBER: _ClassVar[int]
    action: str
    name: str
    network: str
    fleet: str
    reason: str
    waits_for: str
    def __init__(self, action: _Optional[str] = ..., name: _Optional[str] = ..., network: _Optional[str] = ..., fleet: _Optional[str] = ..., reason: _Optional[str] = ..., waits_for: _Optional[str] = ...) -> None: ...

class ListCertificatesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListCertificatesResponse(_message.Message):
    __slots__ = ("certificates",)
    CERTIFICATES_FIELD_NUMBER: _ClassVar[int]
    certificates: _containers.RepeatedCompositeFieldContainer[Certificate]
    def __init__(self, certificates: _Optional[_Iterable[_Union[Certificate, _Mapping]]] = ...) -> None: ...

class Certificate(_message.Message):
    __slots__ = ("name", "role", "state", "reason", "source", "stack", "names", "subject", "issuer", "not_before", "not_after", "fingerprint", "key_type", "uses")
    class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ROLE_UNSPECIFIED: _ClassVar[Certificate.Role]
        ROLE_SERVER: _ClassVar[Certificate.Role]
        ROLE_AUTHORITY: _ClassVar[Certificate.Role]
    ROLE_UNSPECIFIED: Certificate.Role
    ROLE_SERVER: Certificate.Role
    ROLE_AUTHORITY: Certificate.Role
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Certificate.State]
        STATE_SERVED: _ClassVar[Certificate.State]
        STATE_HELD: _ClassVar[Certificate.State]
        STATE_UNUSED: _ClassVar[Certificate.State]
        STATE_UNUSABLE: _ClassVar[Certificate.State]
        STATE_MISSING: _ClassVar[Certificate.State]
    STATE_UNSPECIFIED: Certificate.State
    STATE_SERVED: Certificate.State
    STATE_HELD: Certificate.State
    STATE_UNUSED: Certificate.State
    STATE_UNUSABLE: Certificate.State
    STATE_MISSING: Certificate.State
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    STACK_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    KEY_TYPE_FIELD_NUMBER: _ClassVar[int]
    USES_FIELD_NUMBER: _ClassVar[int]
    name: str
    role: Certificate.Role
    state: Certificate.State
    reason: str
    source: str
    stack: str
    names: _containers.RepeatedScalarFieldContainer[str]
    subject: str
    issuer: str
    not_before: _timestamp_pb2.Timestamp
    not_after: _timestamp_pb2.Timestamp
    fingerprint: str
    key_type: str
    uses: _containers.RepeatedCompositeFieldContainer[CertificateUse]
    def __init__(self, name: _Optional[str] = ..., role: _Optional[_Union[Certificate.Role, str]] = ..., state: _Optional[_Union[Certificate.State, str]] = ..., reason: _Optional[str] = ..., source: _Optional[str] = ..., stack: _Optional[str] = ..., names: _Optional[_Iterable[str]] = ..., subject: _Optional[str] = ..., issuer: _Optional[str] = ..., not_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., not_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., fingerprint: _Optional[str] = ..., key_type: _Optional[str] = ..., uses: _Optional[_Iterable[_Union[CertificateUse, _Mapping]]] = ...) -> None: ...

class CertificateUse(_message.Message):
    __slots__ = ("fleet", "host", "services")
    FLEET_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    fleet: str
    host: str
    services: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, fleet: _Optional[str] = ..., host: _Optional[str] = ..., services: _Optional[_Iterable[str]] = ...) -> None: ...

class GetSnapshotRequest(_message.Message):
    __slots__ = ("fleet", "type_url")
    FLEET_FIELD_NUMBER: _ClassVar[int]
    TYPE_URL_FIELD_NUMBER: _ClassVar[int]
    fleet: str
    type_url: str
    def __init__(self, fleet: _Optional[str] = ..., type_url: _Optional[str] = ...) -> None: ...

class GetSnapshotResponse(_message.Message):
    __slots__ = ("fleet", "version", "resources")
    FLEET_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    fleet: str
    version: str
    resources: _containers.RepeatedCompositeFieldContainer[Resource]
    def __init__(self, fleet: _Optional[str] = ..., version: _Optional[str] = ..., resources: _Optional[_Iterable[_Union[Resource, _Mapping]]] = ...) -> None: ...

class Resource(_message.Message):
    __slots__ = ("name", "version", "resource")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    resource: _any_pb2.Any
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., resource: _Optional[_Union[_any_pb2.Any, _Mapping]] = ...) -> None: ...

class DiffRequest(_message.Message):
    __slots__ = ("fleet", "node")
    FLEET_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    fleet: str
    node: str
    def __init__(self, fleet: _Optional[str] = ..., node: _Optional[str] = ...) -> None: ...

class DiffResponse(_message.Message):
    __slots__ = ("differences",)
    DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    differences: _containers.RepeatedCompositeFieldContainer[Difference]
    def __init__(self, differences: _Optional[_Iterable[_Union[Difference, _Mapping]]] = ...) -> None: ...

class Difference(_message.Message):
    __slots__ = ("fleet", "node", "type_url", "name", "kind", "refused")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Difference.Kind]
        KIND_MISSING: _ClassVar[Difference.Kind]
        KIND_OTHER: _ClassVar[Difference.Kind]
        KIND_EXTRA: _ClassVar[Difference.Kind]
        KIND_UNKNOWN: _ClassVar[Difference.Kind]
    KIND_UNSPECIFIED: Difference.Kind
    KIND_MISSING: Difference.Kind
    KIND_OTHER: Difference.Kind
    KIND_EXTRA: Difference.Kind
    KIND_UNKNOWN: Difference.Kind
    FLEET_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    TYPE_URL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    fleet: str
    node: str
    type_url: str
    name: str
    kind: Difference.Kind
    refused: str
    def __init__(self, fleet: _Optional[str] = ..., node: _Optional[str] = ..., type_url: _Optional[str] = ..., name: _Optional[str] = ..., kind: _Optional[_Union[Difference.Kind, str]] = ..., refused: _Optional[str] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("url", "method", "headers", "fleet")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    URL_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    FLEET_FIELD_NUMBER: _ClassVar[int]
    url: str
    method: str
    headers: _containers.ScalarMap[str, str]
    fleet: str
    def __init__(self, url: _Optional[str] = ..., method: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ..., fleet: _Optional[str] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("outcome", "answer", "steps", "service", "endpoints")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    outcome: str
    answer: str
    steps: _containers.RepeatedCompositeFieldContainer[ExplainStep]
    service: str
    endpoints: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, outcome: _Optional[str] = ..., answer: _Optional[str] = ..., steps: _Optional[_Iterable[_Union[ExplainStep, _Mapping]]] = ..., service: _Optional[str] = ..., endpoints: _Optional[_Iterable[str]] = ...) -> None: ...

class ExplainStep(_message.Message):
    __slots__ = ("subject", "verdict", "text", "cure")
    class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        VERDICT_UNSPECIFIED: _ClassVar[ExplainStep.Verdict]
        VERDICT_OK: _ClassVar[ExplainStep.Verdict]
        VERDICT_NOTE: _ClassVar[ExplainStep.Verdict]
        VERDICT_BROKEN: _ClassVar[ExplainStep.Verdict]
    VERDICT_UNSPECIFIED: ExplainStep.Verdict
    VERDICT_OK: ExplainStep.Verdict
    VERDICT_NOTE: ExplainStep.Verdict
    VERDICT_BROKEN: ExplainStep.Verdict
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CURE_FIELD_NUMBER: _ClassVar[int]
    subject: str
    verdict: ExplainStep.Verdict
    text: str
    cure: str
    def __init__(self, subject: _Optional[str] = ..., verdict: _Optional[_Union[ExplainStep.Verdict, str]] = ..., text: _Optional[str] = ..., cure: _Optional[str] = ...) -> None: ...

class PlanRequest(_message.Message):
    __slots__ = ("services", "stacks", "secrets")
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    STACKS_FIELD_NUMBER: _ClassVar[int]
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    services: _containers.RepeatedCompositeFieldContainer[PlannedService]
    stacks: _containers.RepeatedScalarFieldContainer[str]
    secrets: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, services: _Optional[_Iterable[_Union[PlannedService, _Mapping]]] = ..., stacks: _Optional[_Iterable[str]] = ..., secrets: _Optional[_Iterable[str]] = ...) -> None: ...

class PlannedService(_message.Message):
    __slots__ = ("name", "stack", "labels", "networks", "ports")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    STACK_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    NETWORKS_FIELD_NUMBER: _ClassVar[int]
    PORTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    stack: str
    labels: _containers.ScalarMap[str, str]
    networks: _containers.RepeatedScalarFieldContainer[str]
    ports: _containers.RepeatedCompositeFieldContainer[PlannedPort]
    def __init__(self, name: _Optional[str] = ..., stack: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., networks: _Optional[_Iterable[str]] = ..., ports: _Optional[_Iterable[_Union[PlannedPort, _Mapping]]] = ...) -> None: ...

class PlannedPort(_message.Message):
    __slots__ = ("target", "published", "host_mode")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    HOST_MODE_FIELD_NUMBER: _ClassVar[int]
    target: int
    published: int
    host_mode: bool
    def __init__(self, target: _Optional[int] = ..., published: _Optional[int] = ..., host_mode: _Optional[bool] = ...) -> None: ...

class PlanResponse(_message.Message):
    __slots__ = ("changes", "problems_new", "problems_gone")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_NEW_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_GONE_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[PlannedChange]
    problems_new: _containers.RepeatedCompositeFieldContainer[Problem]
    problems_gone: _containers.RepeatedCompositeFieldContainer[Problem]
    def __init__(self, changes: _Optional[_Iterable[_Union[PlannedChange, _Mapping]]] = ..., problems_new: _Optional[_Iterable[_Union[Problem, _Mapping]]] = ..., problems_gone: _Optional[_Iterable[_Union[Problem, _Mapping]]] = ...) -> None: ...

class PlannedChange(_message.Message):
    __slots__ = ("action", "what", "fleet", "name", "before", "after")
    class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ACTION_UNSPECIFIED: _ClassVar[PlannedChange.Action]
        ACTION_ADD: _ClassVar[PlannedChange.Action]
        ACTION_CHANGE: _ClassVar[PlannedChange.Action]
        ACTION_REMOVE: _ClassVar[PlannedChange.Action]
    ACTION_UNSPECIFIED: PlannedChange.Action
    ACTION_ADD: PlannedChange.Action
    ACTION_CHANGE: PlannedChange.Action
    ACTION_REMOVE: PlannedChange.Action
    ACTION_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    FLEET_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    action: PlannedChange.Action
    what: str
    fleet: str
    name: str
    before: str
    after: str
    def __init__(self, action: _Optional[_Union[PlannedChange.Action, str]] = ..., what: _Optional[str] = ..., fleet: _Optional[str] = ..., name: _Optional[str] = ..., before: _Optional[str] = ..., after: _Optional[str] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("last",)
    LAST_FIELD_NUMBER: _ClassVar[int]
    last: int
    def __init__(self, last: _Optional[int] = ...) -> None: ...

class WatchResponse(_message.Message):
    __slots__ = ("at", "change", "node", "lost")
    AT_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    change: Change
    node: NodeEvent
    lost: int
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., change: _Optional[_Union[Change, _Mapping]] = ..., node: _Optional[_Union[NodeEvent, _Mapping]] = ..., lost: _Optional[int] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("number", "phase", "at", "cause", "build", "served_after", "resources", "fleets", "proxies", "answered", "refused", "problems_new", "problems_gone")
    class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PHASE_UNSPECIFIED: _ClassVar[Change.Phase]
        PHASE_PUBLISHED: _ClassVar[Change.Phase]
        PHASE_SERVED: _ClassVar[Change.Phase]
        PHASE_REFUSED: _ClassVar[Change.Phase]
        PHASE_UNSEEN: _ClassVar[Change.Phase]
    PHASE_UNSPECIFIED: Change.Phase
    PHASE_PUBLISHED: Change.Phase
    PHASE_SERVED: Change.Phase
    PHASE_REFUSED: Change.Phase
    PHASE_UNSEEN: Change.Phase
    class ResourcesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    BUILD_FIELD_NUMBER: _ClassVar[int]
    SERVED_AFTER_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    FLEETS_FIELD_NUMBER: _ClassVar[int]
    PROXIES_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_NEW_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_GONE_FIELD_NUMBER: _ClassVar[int]
    number: int
    phase: Change.Phase
    at: _timestamp_pb2.Timestamp
    cause: str
    build: _duration_pb2.Duration
    served_after: _duration_pb2.Duration
    resources: _containers.ScalarMap[str, int]
    fleets: _containers.RepeatedScalarFieldContainer[str]
    proxies: int
    answered: int
    refused: _containers.RepeatedScalarFieldContainer[str]
    problems_new: _containers.RepeatedCompositeFieldContainer[Problem]
    problems_gone: _containers.RepeatedCompositeFieldContainer[Problem]
    def __init__(self, number: _Optional[int] = ..., phase: _Optional[_Union[Change.Phase, str]] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cause: _Optional[str] = ..., build: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., served_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., resources: _Optional[_Mapping[str, int]] = ..., fleets: _Optional[_Iterable[str]] = ..., proxies: _Optional[int] = ..., answered: _Optional[int] = ..., refused: _Optional[_Iterable[str]] = ..., problems_new: _Optional[_Iterable[_Union[Problem, _Mapping]]] = ..., problems_gone: _Optional[_Iterable[_Union[Problem, _Mapping]]] = ...) -> None: ...

class NodeEvent(_message.Message):
    __slots__ = ("kind", "fleet", "node", "address", "refusal", "type_url")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[NodeEvent.Kind]
        KIND_JOINED: _ClassVar[NodeEvent.Kind]
        KIND_LEFT: _ClassVar[NodeEvent.Kind]
        KIND_REFUSED: _ClassVar[NodeEvent.Kind]
    KIND_UNSPECIFIED: NodeEvent.Kind
    KIND_JOINED: NodeEvent.Kind
    KIND_LEFT: NodeEvent.Kind
    KIND_REFUSED: NodeEvent.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    FLEET_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    TYPE_URL_FIELD_NUMBER: _ClassVar[int]
    kind: NodeEvent.Kind
    fleet: str
    node: str
    address: str
    refusal: Refusal
    type_url: str
    def __init__(self, kind: _Optional[_Union[NodeEvent.Kind, str]] = ..., fleet: _Optional[str] = ..., node: _Optional[str] = ..., address: _Optional[str] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ..., type_url: _Optional[str] = ...) -> None: ...
