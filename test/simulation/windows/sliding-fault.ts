/** Ways to break the store of windows of limits, one at a time. Each is a rule of docs/adr/0047. */
export type SlidingStoreFault =
  | 'amount-is-that-of-the-first-ask'
  | 'override-is-ignored'
  | 'override-never-ends'
  | 'permits-outlive-the-override'
  | 'observe-refuses'
  | 'observe-is-not-counted'
  | 'sweeps-what-counts';

/** Ways to break the memory of a replica, in what it draws from windows of limits. */
export type SlidingDrawFault =
  | 'change-drops-nothing'
  | 'refused-call-takes-permits'
  | 'takes-from-the-first-window-only'
  | 'cost-counts-as-one'
  | 'call-without-model-escapes';
