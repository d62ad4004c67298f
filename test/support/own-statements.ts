/**
 * What a replica sends by itself, whatever it is asked: its polls, signs of life, last uses, counts and
 * housekeeping. The frame of a transaction says nothing: what is inside it does.
 */
export const OWN =
  /pg_walfile_name|\breplica\b|set_config\('synchronous_commit'|^LISTEN|\bverdict_minute\b|quota_close_expired|\breservation_end\b|\baudit_checkpoint\b|pg_try_advisory_lock|^SET idle_session_timeout|^SELECT set_config\('TimeZone'|^START TRANSACTION$|^BEGIN; |^COMMIT$|usage_event_prepare|\busage_id\b/;
