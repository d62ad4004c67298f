/** Ways to break the store of limits, one at a time. Each is a rule of docs/adr/0043, 0045 or 0048. */
export type LimitStoreFault =
  | 'call-without-model-escapes'
  | 'missing-amount-is-unlimited'
  | 'settle-updates-what-may-be-swept'
  | 'sweeps-at-the-end-of-a-period'
  | 'sweeps-what-is-leased'
  | 'sweeps-total'
  | 'copy-is-believed'
  | 'copy-follows-changes-only'
  | 'refresh-without-floor'
  | 'until-is-ignored'
  | 'settle-charges-what-applies-now'
  | 'unreserved-by-the-record'
  | 'model-of-the-report-decides'
  | 'settles-the-first-hold-only'
  | 'settles-in-the-present-period'
  | 'period-by-local-date'
  | 'admits-past-its-period'
  | 'admits-past-the-month'
  | 'observe-refuses'
  | 'observe-is-not-charged'
  | 'members-share-an-account'
  | 'subjects-share-an-account'
  | 'swept-subject-loses-its-charge'
  | 'report-without-subject-is-charged'
  | 'deleted-limit-keeps-its-leases'
  | 'takes-what-fits-of-a-call'
  | 'return-forgets-what-was-used'
  | 'return-spends-what-is-unused'
  | 'lost-lease-returns-whole'
  | 'report-charges-requests'
  | 'tokens-are-charged-cents'
  | 'tokens-are-held-as-cents';

/** Ways to break the memory of a replica, in what it draws from leases of requests. */
export type LimitDrawFault =
  'refused-call-takes-a-request' | 'cost-counts-as-one' | 'undone-call-stays-counted' | 'absent-subject-opens';
