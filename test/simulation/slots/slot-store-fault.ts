/** Ways to break the store of calls in flight, one at a time. Each is a rule of docs/adr/0046. */
export type SlotStoreFault =
  | 'takes-what-fits-of-a-call'
  | 'counts-a-call-once'
  | 'holds-without-the-time-to-act'
  | 'frees-twice'
  | 'settle-keeps-the-slot'
  | 'release-keeps-the-slot'
  | 'janitor-does-not-watch'
  | 'janitor-watches-from-the-grant'
  | 'renew-does-not-move'
  | 'renew-shortens'
  | 'renew-revives'
  | 'renew-takes-a-slot-more'
  | 'amount-is-that-of-the-first-lock'
  | 'override-is-ignored'
  | 'override-never-ends'
  | 'observe-refuses'
  | 'observe-is-not-counted';
