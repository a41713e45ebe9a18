-- Every event that is kept with its one class (M2), as `schemas.event_classes` has it: normal, abnormal, security or
-- device. Door and device events are those that controllers sent; what became of alerts counts by the alert's kind.
create view events as
select incarnation, multiIf(
        classification = 'security', 'security',
        outcome = 'denied' or classification = 'abnormal', 'abnormal',
        'normal'
    ) as event_class, concat('access_', outcome) as type, site_id, door_id, device_id,
    cardholder_id, decided_at as at
from decisions
union all
select incarnation, 'normal', concat('access_', outcome), site_id, door_id, '', cardholder_id, decided_at
from passages
union all
select incarnation, 'security', 'message_refused', site_id, '', device_id, '', decided_at
from refusals
union all
select incarnation, 'security', type, site_id, door_id, '', cardholder_id, at
from lockout_transitions
union all
select incarnation, multiIf(
        type in ('door_forced_open', 'tamper', 'tamper_restored'), 'security',
        type in ('door_pre_alarm', 'door_held_open', 'door_held_open_cleared'), 'abnormal',
        type in ('door_opened', 'door_closed', 'request_to_exit', 'no_entry_after_granted'), 'normal',
        'device'
    ), type, site_id, door_id, device_id, '', received_at
from device_messages
union all
select incarnation, if(event in ('tamper', 'tamper_restored'), 'security', 'device'), 'device_state', site_id, '',
    device_id, '', decided_at
from device_state_events
union all
select incarnation, 'device', 'device_exception', site_id, '', device_id, '', decided_at
from device_exception_steps
union all
select incarnation, 'abnormal', 'permission_updated', site_id, door_id, '', cardholder_id, decided_at
from permission_updates
union all
select incarnation, 'security', type, site_id, '', '', '', at
from incident_steps
union all
select incarnation, if(type = 'abnormal_passage', 'abnormal', 'security'), type, site_id, door_id, device_id,
    cardholder_id, at
from threat_events
union all
select incarnation, multiIf(
        kind in ('authentication_failed', 'soft_breach', 'door_held_open', 'door_pre_alarm',
            'offline_difference', 'permission_updated', 'abnormal_passage'), 'abnormal',
        kind in ('controller_offline', 'site_offline', 'network_outage', 'fault', 'power_failure', 'battery_low',
            'clock_wrong', 'flapping', 'offline_mode', 'door_mode_unconfirmed', 'door_mode_drift'), 'device',
        'security'
    ), type, site_id, door_id, device_id, cardholder_id, updated_at
from alert_transitions;

create view events_by_class as
select toStartOfHour(at) as hour, site_id, event_class, count() as events
from events group by hour, site_id, event_class;
