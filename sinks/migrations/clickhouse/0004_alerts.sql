-- What happened to alerts (M3): `transition` counts the messages of one alert; `step` is above 0 where somebody was to be
-- told. Nothing of duress is kept here: whoever may ask would learn of it.
alter table alert_transitions_rows
    add column if not exists active Bool,
    add column if not exists step UInt32,
    add column if not exists operator_id String,
    add column if not exists acknowledged_at Nullable(DateTime64(3, 'UTC')),
    add column if not exists transition UInt64,
    modify order by (site_id, updated_at, alert_id, type, count, incarnation, transition);
alter table alert_transitions_rows delete where kind = 'duress';

-- In one statement: another who applies this file at the same time finds the view there at any moment.
create or replace view alert_transitions as select * from alert_transitions_rows final where kind != 'duress';

-- One row an alert: its first and its highest severity, when somebody first knew of it, and when it was over.
create view alert_courses as
select incarnation, alert_id, any(t.site_id) as site_id, any(t.kind) as kind,
    argMin(t.severity, t.transition) as first_severity,
    arrayElement(['low', 'medium', 'high', 'critical'],
        max(indexOf(['low', 'medium', 'high', 'critical'], t.severity))) as highest_severity,
    min(t.raised_at) as raised_at, minOrNull(t.acknowledged_at) as acknowledged_at,
    minOrNullIf(t.updated_at, t.type = 'alert_closed') as closed_at,
    argMax(t.state, t.transition) as state, max(t.count) as seen, max(t.step) as told
from alert_transitions as t group by incarnation, alert_id;

create view mean_time_to_acknowledge as
select toDate(raised_at) as day, site_id, first_severity as severity, kind, count() as alerts,
    countIf(acknowledged_at is not null) as acknowledged, countIf(highest_severity != first_severity) as escalated,
    round(avg(dateDiff('millisecond', raised_at, acknowledged_at)) / 1000, 1) as mean_s,
    round(max(dateDiff('millisecond', raised_at, acknowledged_at)) / 1000, 1) as longest_s
from alert_courses where first_severity != 'low' group by day, site_id, severity, kind;

-- ISA-18.2: a flood begins with more than ten alarms in ten minutes, and ends with fewer than five. What is suppressed
-- or only recorded reaches nobody and does not count.
create view alarm_rate as
select site_id, ten_minutes, alarms, max(alarms > 10) over (
        partition by site_id, stretch order by ten_minutes rows between unbounded preceding and current row
    ) as flood
from (
    select site_id, ten_minutes, alarms, sum(apart) over (
            partition by site_id order by ten_minutes rows between unbounded preceding and current row
        ) as stretch
    from (
        select site_id, ten_minutes, alarms, alarms < 5 or ten_minutes != addMinutes(lagInFrame(ten_minutes) over (
                partition by site_id order by ten_minutes rows between unbounded preceding and unbounded following
            ), 10) as apart
        from (
            select site_id, toStartOfTenMinutes(raised_at) as ten_minutes,
                uniqExact(incarnation, alert_id) as alarms
            from alert_transitions
            where type = 'alert_raised' and severity != 'low' and state != 'suppressed'
            group by site_id, ten_minutes
        )
    )
);
