-- Every threat with what contributed to its level, every step of what followed, and every abnormal passage with its
-- risk (A5, M2). Nothing of duress is kept here: whoever may ask would learn of it.
create table threat_events_rows (
    incarnation UInt64,
    event_id UUID,
    type LowCardinality(String),
    site_id LowCardinality(String),
    threat_key String,
    threat_id String,
    kind LowCardinality(String),
    level LowCardinality(String),
    score Int64,
    factors Array(LowCardinality(String)),
    response LowCardinality(String),
    source LowCardinality(String),
    zone_id LowCardinality(String),
    door_id LowCardinality(String),
    access_point_id LowCardinality(String),
    device_id LowCardinality(String),
    cardholder_id String,
    cause LowCardinality(String),
    operator_id String,
    until Nullable(DateTime64(3, 'UTC')),
    at DateTime64(3, 'UTC')
) engine = ReplacingMergeTree partition by toYYYYMM(at) order by (site_id, at, event_id, incarnation);

create view threat_events as select * from threat_events_rows final;

create view security_log as
select at, site_id, type, kind, level, score, factors, response, source, zone_id, door_id, access_point_id, device_id,
    cardholder_id, cause, operator_id, until, threat_id
from threat_events where type != 'abnormal_passage';

create view threats_by_day as
select toDate(at) as day, site_id, zone_id, kind, level, uniqExact(incarnation, threat_id) as threats,
    max(score) as highest_score
from threat_events where type = 'threat_assessed' group by day, site_id, zone_id, kind, level;

create view abnormal_passages as
select at, site_id, kind, level, score, factors, zone_id, door_id, access_point_id, cardholder_id
from threat_events where type = 'abnormal_passage';
