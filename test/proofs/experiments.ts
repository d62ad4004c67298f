import { g01 } from './experiments/g01-no-overspend.js';
import { g02 } from './experiments/g02-no-overspend-under-faults.js';
import { g03 } from './experiments/g03-no-acknowledged-usage-is-lost.js';
import { g04 } from './experiments/g04-usage-counts-exactly-once.js';
import { g05 } from './experiments/g05-changes-reach-every-replica.js';
import { g06 } from './experiments/g06-nothing-comes-back.js';
import { g14 } from './experiments/g14-every-change-is-audited.js';
import { g16 } from './experiments/g16-rate-limits-in-any-interval.js';
import { g17 } from './experiments/g17-month-ends.js';
import { g19 } from './experiments/g19-a-database-that-hangs.js';
import { g20 } from './experiments/g20-database-restarts.js';
import { g22 } from './experiments/g22-floods-of-made-up-keys.js';
import { g23 } from './experiments/g23-nobody-is-locked-out.js';
import { g25 } from './experiments/g25-made-up-requests.js';
import { g27 } from './experiments/g27-rotation.js';
import { g30 } from './experiments/g30-clean-shutdown.js';
import { g36 } from './experiments/g36-the-books-balance.js';
import { g37 } from './experiments/g37-the-models.js';
import { g38 } from './experiments/g38-the-simulation.js';
import { g44 } from './experiments/g44-wrong-secrets-never-start.js';
import { o12 } from './experiments/o12-restore.js';
import type { Experiment } from './harness/experiment.js';

/** Every experiment, in the order of the guarantees. */
export const experiments: readonly Experiment[] = [g01, g02, g03, g04, g05, g06, g14, g16, g17, g19, g20, g22, g23, g25, g27, g30, g36, g37, g38, g44, o12];
