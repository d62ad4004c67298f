import { f01 } from './experiments/f01-a-replica-that-freezes.js';
import { f02 } from './experiments/f02-the-embedded-postgres-dies.js';
import { f03 } from './experiments/f03-what-a-failover-loses.js';
import { f05 } from './experiments/f05-connections-that-go-silent.js';
import { f06 } from './experiments/f06-clocks-of-hosts.js';
import { f07 } from './experiments/f07-database-clock-steps.js';
import { f09 } from './experiments/f09-far-from-the-database.js';
import { f12 } from './experiments/f12-full-log-volume.js';
import { f16 } from './experiments/f16-a-cluster-of-patroni.js';
import { g01 } from './experiments/g01-no-overspend.js';
import { g02 } from './experiments/g02-no-overspend-under-faults.js';
import { g03 } from './experiments/g03-no-acknowledged-usage-is-lost.js';
import { g04 } from './experiments/g04-usage-counts-exactly-once.js';
import { g05 } from './experiments/g05-changes-reach-every-replica.js';
import { g06 } from './experiments/g06-nothing-comes-back.js';
import { g09 } from './experiments/g09-nobody-grants-more.js';
import { g11 } from './experiments/g11-a-database-writer.js';
import { g14 } from './experiments/g14-every-change-is-audited.js';
import { g15 } from './experiments/g15-edits-of-tables-are-found.js';
import { g16 } from './experiments/g16-rate-limits-in-any-interval.js';
import { g16b } from './experiments/g16b-hours-and-days.js';
import { g17 } from './experiments/g17-month-ends.js';
import { g17b } from './experiments/g17b-raises-end.js';
import { g18 } from './experiments/g18-clocks-that-jump.js';
import { g19 } from './experiments/g19-a-database-that-hangs.js';
import { g20 } from './experiments/g20-database-restarts.js';
import { g22 } from './experiments/g22-floods-of-made-up-keys.js';
import { g23 } from './experiments/g23-nobody-is-locked-out.js';
import { g24 } from './experiments/g24-address-lists.js';
import { g25 } from './experiments/g25-made-up-requests.js';
import { g27 } from './experiments/g27-rotation.js';
import { g28 } from './experiments/g28-no-leaks.js';
import { g29 } from './experiments/g29-overload.js';
import { g30 } from './experiments/g30-clean-shutdown.js';
import { g31 } from './experiments/g31-full-disks.js';
import { g36 } from './experiments/g36-the-books-balance.js';
import { g37 } from './experiments/g37-the-models.js';
import { g38 } from './experiments/g38-the-simulation.js';
import { g39 } from './experiments/g39-limits-hold-all-keys.js';
import { g40 } from './experiments/g40-calls-in-flight.js';
import { g41 } from './experiments/g41-tokens-by-minute.js';
import { g42 } from './experiments/g42-periods-end-by-their-zone.js';
import { g43 } from './experiments/g43-reports-keep-the-past.js';
import { g44 } from './experiments/g44-wrong-secrets-never-start.js';
import { g45 } from './experiments/g45-upgrade-and-roll-back.js';
import { g46 } from './experiments/g46-failover-loses-nothing.js';
import { g47 } from './experiments/g47-one-caller-stops-no-other.js';
import { g48 } from './experiments/g48-headers-through-proxies.js';
import { o03 } from './experiments/o03-upgrade-as-printed.js';
import { o12 } from './experiments/o12-restore.js';
import { s07 } from './experiments/s07-guessing-is-slowed.js';
import { s10 } from './experiments/s10-floods-delay-no-revocation.js';
import type { Experiment } from './harness/experiment.js';

/** Every experiment: the guarantees in their order, then what machines and networks do. */
export const experiments: readonly Experiment[] = [
  g01,
  g02,
  g03,
  g04,
  g05,
  g06,
  g09,
  g11,
  g14,
  g15,
  g16,
  g16b,
  g17,
  g17b,
  g18,
  g19,
  g20,
  g22,
  g23,
  g24,
  g25,
  g27,
  g28,
  g29,
  g30,
  g31,
  g36,
  g37,
  g38,
  g39,
  g40,
  g41,
  g42,
  g43,
  g44,
  g45,
  g46,
  g47,
  g48,
  f01,
  f02,
  f03,
  f05,
  f06,
  f07,
  f09,
  f12,
  f16,
  o03,
  o12,
  s07,
  s10,
];

/**
 * Those that neither measure time nor need the machine to themselves: `npm run prove:ci` runs two of them at once, in
 * this order. What takes longest begins. G17 waits for a month to end most of its time. G01 ends: its calls want an
 * answer in time, then it waits for holds to end.
 */
export const SHARING: readonly Experiment[] = [
  ...[g38, o03],
  ...[g14, g03, g45, g06, g17, g02, g15],
  ...[g09, g11, g41, g43, g48, g24, g36, g04, g01],
];
