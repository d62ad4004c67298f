/** Ways to break the store of windows of tokens, one at a time. Each is a rule of docs/adr/0056. */
export type TokenStoreFault =
  | 'close-moves-what-was-used'
  | 'close-takes-all-that-was-granted'
  | 'close-keeps-what-was-not-used'
  | 'settle-keeps-the-rest'
  | 'release-keeps-all'
  | 'refund-from-the-present-bucket'
  | 'refund-of-a-bucket-that-left'
  | 'second-end-refunds'
  | 'settle-after-release-refunds'
  | 'settle-after-release-is-free'
  | 'refund-outside-the-transaction'
  | 'no-tokens-count-as-none'
  | 'excess-is-free'
  | 'epoch-survives-a-crash'
  | 'epoch-is-the-start-of-the-server'
  | 'epoch-survives-the-clock'
  | 'counts-wrap'
  | 'nothing-reserved-passes-a-full-window';

/** Ways to break the memory of a replica, in what it draws from windows of tokens. */
export type TokenDrawFault =
  | 'call-weighs-its-cost'
  | 'draws-from-two-leases'
  | 'undo-gives-back-twice'
  | 'lease-outlives-its-second'
  | 'reservation-names-no-bucket'
  | 'reservation-names-the-next-bucket';

/** What makes windows of tokens reachable; without it nothing is over, and less can be used. */
export type TokenReachFault = 'leases-live-for-15-seconds';
