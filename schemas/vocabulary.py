"""The words of messages: stable strings from ONVIF, BACnet 135 and ISA-18.2, one enum each."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why access was denied or a message refused (BACnet 135, access event reasons). Values never change."""

    UNKNOWN_CREDENTIAL = "unknown_credential"
    INCORRECT_AUTHENTICATION_FACTOR = "incorrect_authentication_factor"
    AUTHENTICATION_UNAVAILABLE = "authentication_unavailable"
    AUTHENTICATION_FACTOR_TIMEOUT = "authentication_factor_timeout"
    VERIFICATION_FAILED = "verification_failed"
    CREDENTIAL_UNASSIGNED = "credential_unassigned"
    CREDENTIAL_NOT_YET_ACTIVE = "credential_not_yet_active"
    CREDENTIAL_EXPIRED = "credential_expired"
    CREDENTIAL_DISABLED = "credential_disabled"
    CREDENTIAL_LOST = "credential_lost"
    CREDENTIAL_STOLEN = "credential_stolen"
    CREDENTIAL_LOCKOUT = "credential_lockout"
    ACCESS_POINT_LOCKOUT = "access_point_lockout"
    MAX_USES = "max_uses"
    NO_ACCESS_RIGHTS = "no_access_rights"
    ZONE_NO_ACCESS_RIGHTS = "zone_no_access_rights"
    POINT_NO_ACCESS_RIGHTS = "point_no_access_rights"
    OUT_OF_TIME_RANGE = "out_of_time_range"
    THREAT_LEVEL = "threat_level"
    LOCKDOWN = "lockdown"
    PASSBACK = "passback"
    OCCUPANCY_LIMIT = "occupancy_limit"
    NO_ACCOMPANIMENT = "no_accompaniment"
    INCORRECT_ACCOMPANIMENT = "incorrect_accompaniment"
    INTERLOCK = "interlock"
    FIRST_PERSON_ABSENT = "first_person_absent"
    RISK = "risk"
    OUT_OF_SERVICE = "out_of_service"
    UNKNOWN_ACCESS_POINT = "unknown_access_point"
    STALE_REQUEST = "stale_request"
    INVALID_SIGNATURE = "invalid_signature"
    REPLAYED_REQUEST = "replayed_request"

    @property
    def meaning(self) -> str:
        """One line for people."""
        return MEANINGS[self]


MEANINGS: dict[Reason, str] = {
    Reason.UNKNOWN_CREDENTIAL: "no credential with that number, template or id is on file",
    Reason.INCORRECT_AUTHENTICATION_FACTOR: "the PIN is wrong",
    Reason.AUTHENTICATION_UNAVAILABLE: "the factor could not be verified, and unknown means denied",
    Reason.AUTHENTICATION_FACTOR_TIMEOUT: "a factor that the policy requires was not presented",
    Reason.VERIFICATION_FAILED: "the biometric or fused score is below its threshold",
    Reason.CREDENTIAL_UNASSIGNED: "the credential belongs to nobody",
    Reason.CREDENTIAL_NOT_YET_ACTIVE: "the credential, cardholder or permission is not valid yet",
    Reason.CREDENTIAL_EXPIRED: "the credential, cardholder or permission is no longer valid",
    Reason.CREDENTIAL_DISABLED: "the credential is disabled or destroyed, or its cardholder is inactive",
    Reason.CREDENTIAL_LOST: "the credential was reported lost",
    Reason.CREDENTIAL_STOLEN: "the credential was reported stolen",
    Reason.CREDENTIAL_LOCKOUT: "the credential or its cardholder is locked after failed attempts",
    Reason.ACCESS_POINT_LOCKOUT: "the access point is locked after failed attempts",
    Reason.MAX_USES: "the single-use permission has been used",
    Reason.NO_ACCESS_RIGHTS: "the cardholder has no permission at this site",
    Reason.ZONE_NO_ACCESS_RIGHTS: "the zone needs a special permission or a higher clearance",
    Reason.POINT_NO_ACCESS_RIGHTS: "no permission of the cardholder includes this door",
    Reason.OUT_OF_TIME_RANGE: "the schedule does not allow access now",
    Reason.THREAT_LEVEL: "the zone's threat level is above the cardholder's clearance",
    Reason.LOCKDOWN: "the zone is locked down",
    Reason.PASSBACK: "the cardholder is already inside, or not known to be in the zone the door leads from",
    Reason.OCCUPANCY_LIMIT: "the zone is full",
    Reason.NO_ACCOMPANIMENT: "a second person or an escort is required",
    Reason.INCORRECT_ACCOMPANIMENT: "the accompanying person may not accompany",
    Reason.INTERLOCK: "another door of the interlock is open or about to open",
    Reason.FIRST_PERSON_ABSENT: "nobody entitled has opened the zone today",
    Reason.RISK: "the risk score is over its limit",
    Reason.OUT_OF_SERVICE: "the access point, device or decision is out of service",
    Reason.UNKNOWN_ACCESS_POINT: "no such access point, or it belongs to another device or site",
    Reason.STALE_REQUEST: "the request is too old to be acted on",
    Reason.INVALID_SIGNATURE: "the message is not signed with the sender's key",
    Reason.REPLAYED_REQUEST: "the message's number was used before with other content, or is too old",
}


class Display(StrEnum):
    """What a reader shows after a denial: enough to help the right person, nothing to help the wrong one."""

    NOT_RECOGNISED = "not_recognised"
    TRY_AGAIN = "try_again"
    NO_PERMISSION = "no_permission"
    NOT_NOW = "not_now"
    LOCKED = "locked"
    WAIT = "wait"
    OUT_OF_SERVICE = "out_of_service"


class Direction(StrEnum):
    """Which way an access point leads."""

    ENTRY = "entry"
    EGRESS = "egress"


class Timeliness(StrEnum):
    """How old a request was when it was decided (A3): only the first two actuate."""

    ONLINE = "online"
    GRACE = "grace"
    LATE = "late"
    OFFLINE = "offline"


class Enforcement(StrEnum):
    """What a broken security rule does: nothing, a record and an alert, or a denial."""

    OFF = "off"
    SOFT = "soft"
    HARD = "hard"


class FactorKind(StrEnum):
    """What was presented."""

    CARD = "card"
    PIN = "pin"
    FACE = "face"
    FINGERPRINT = "fingerprint"


class FactorResult(StrEnum):
    """How a presented factor fared."""

    PASSED = "passed"
    FAILED = "failed"
    ABSENT = "absent"
    UNAVAILABLE = "unavailable"


class CheckOutcome(StrEnum):
    """How an ordered check ended: `soft` is broken but not enforced."""

    PASSED = "passed"
    FAILED = "failed"
    SOFT = "soft"
    SKIPPED = "skipped"


class Classification(StrEnum):
    """M2's classes of events."""

    NORMAL = "normal"
    ABNORMAL = "abnormal"
    SECURITY = "security"
    DEVICE = "device"


class DifferenceCause(StrEnum):
    """Why a controller alone most likely decided otherwise than the rules do (A5)."""

    NO_SNAPSHOT = "no_snapshot"
    STALE_SNAPSHOT = "stale_snapshot"
    RIGHTS_CHANGED = "rights_changed"
    STATE_UNKNOWN = "state_unknown"
    FACTOR_UNVERIFIED = "factor_unverified"
    FACILITY_CODE = "facility_code"
    DENIES_ALONE = "denies_alone"
    DOOR_SHUT = "door_shut"


class DoorMode(StrEnum):
    """ONVIF door modes."""

    LOCKED = "locked"
    UNLOCKED = "unlocked"
    ACCESSED = "accessed"
    BLOCKED = "blocked"
    LOCKED_DOWN = "locked_down"
    LOCKED_OPEN = "locked_open"


class Posture(StrEnum):
    """What a zone is under; the later ones outrank the earlier ones."""

    NORMAL = "normal"
    EMERGENCY_OPENING = "emergency_opening"
    LOCKDOWN = "lockdown"
    EVACUATION = "evacuation"


class ThreatLevel(StrEnum):
    """How bad a threat is; a lockdown's scope is the area, the floor, the building or the site (A5, E2, S3)."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    EXTREME = "extreme"

    @property
    def rank(self) -> int:
        """The higher, the more serious."""
        return _THREAT_RANKS[self]


_THREAT_RANKS = {level: rank for rank, level in enumerate(ThreatLevel)}


class Severity(StrEnum):
    """Alert severities (ISA-18.2)."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Connection(StrEnum):
    """Whether a device is heard; `unknown` before its first message and its first deadline."""

    UNKNOWN = "unknown"
    ONLINE = "online"
    OFFLINE = "offline"


class DeviceEvent(StrEnum):
    """What happened to a device: each trouble with the event that ends it (M1)."""

    CONTROLLER_ONLINE = "controller_online"
    CONTROLLER_OFFLINE = "controller_offline"
    FAULT = "fault"
    FAULT_CLEARED = "fault_cleared"
    TAMPER = "tamper"
    TAMPER_RESTORED = "tamper_restored"
    POWER_FAILURE = "power_failure"
    POWER_RESTORED = "power_restored"
    BATTERY_LOW = "battery_low"
    BATTERY_RESTORED = "battery_restored"
    CLOCK_WRONG = "clock_wrong"
    CLOCK_RIGHT = "clock_right"
    FLAPPING = "flapping"
    SETTLED = "settled"
    PROBE_ANSWERED = "probe_answered"
    NETWORK_EXCEPTION = "network_exception"
    OFFLINE_MODE_STARTED = "offline_mode_started"
    OFFLINE_MODE_ENDED = "offline_mode_ended"
    SERVICE_RETRIED = "service_retried"
    SERVICE_FAILED = "service_failed"
    SNAPSHOT_TAKEN = "snapshot_taken"
    MONITORING_ENDED = "monitoring_ended"
