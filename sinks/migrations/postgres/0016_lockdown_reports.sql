-- What the report of a lockdown asks: where somebody was last seen before a moment, with one look for each person, and
-- what controllers decided alone in a stretch of time, whenever they told.
create index passages_of_people on passages (
    site_id, cardholder_id, (case evidence when 'recorded' then occurred_at else decided_at end) desc, occurred_at desc,
    decision_id
) where outcome = 'taken';
create index decisions_offline on decisions (site_id, occurred_at) where timeliness = 'offline';
