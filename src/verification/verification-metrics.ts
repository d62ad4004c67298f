import { Injectable } from '@nestjs/common';
import type { Counter } from 'prom-client';
import { Clock } from '../common/clock.js';
import { Conditions } from '../common/conditions.js';
import { Metrics, type Tally } from '../common/metrics.js';
import { VERDICT_CODES, type VerdictCode } from './checks.js';
import { FeedService } from '../key-cache/feed/feed.service.js';
import { RecordCache } from '../key-cache/records/record-cache.js';
import { RecordLoader } from '../key-cache/records/record-loader.js';
import { LIMIT_TARGETS, LIMIT_UNITS, type LimitTarget, type LimitUnit } from '../quotas/limits/limit-facts.js';
import { ReplicasService } from '../replicas/replicas.service.js';

const NOT_FRESH =
  'Changes of keys do not arrive here: verifies are answered from memory, for MAX_STALENESS_SECONDS at most.';

/** Beyond it NTP does not work on one of the two machines. */
const CLOCK_TOLERANCE_MS = 1_000;

/** What Prometheus is told of the data plane. */
@Injectable()
export class VerificationMetrics {
  private readonly verdicts: Tally<VerdictCode>;
  private readonly limits: Counter<'target' | 'unit'>;

  constructor(
    meters: Metrics,
    conditions: Conditions,
    clock: Clock,
    feed: FeedService,
    cache: RecordCache,
    loader: RecordLoader,
    replicas: ReplicasService,
  ) {
    conditions.register('feed', 'changes of other replicas arrive within three seconds', () =>
      feed.standing(feed.tick()) === 'fresh' ? null : NOT_FRESH,
    );
    const aheadMs = () => clock.aheadMs() ?? 0;
    meters.gauge(
      'latchkey_database_clock_offset_seconds',
      'Wall clock of this machine minus that of the database.',
      () => aheadMs() / 1000,
    );
    conditions.register(
      'clock',
      'the clocks of this machine and of the database agree within a second',
      () => clockProblem(aheadMs()),
      'warn',
    );
    this.verdicts = meters.tally('latchkey_verdicts_total', 'Verdicts.', 'code', VERDICT_CODES);
    this.limits = meters.counter(
      'latchkey_limit_refusals_total',
      'Calls refused by a limit that keys share, by what it is of and what it counts.',
      ['target', 'unit'],
    );
    for (const target of LIMIT_TARGETS) for (const unit of LIMIT_UNITS) this.limits.inc({ target, unit }, 0);
    meters.gauge(
      'latchkey_feed_age_seconds',
      'Age of what this replica knows of changes. Beyond MAX_STALENESS_SECONDS nothing is answered.',
      () => (feed.ageMs ?? Infinity) / 1000,
    );
    meters.gauge('latchkey_feed_applied_seq', 'Sequence number of the last change applied here.', () =>
      Number(feed.appliedSeq),
    );
    watchCache(meters, cache, loader);
    meters.gauge(
      'latchkey_replicas',
      'Replicas that this one has seen alive of late, itself included.',
      () => replicas.liveCount,
    );
  }

  /** Counts one verdict. */
  count(code: VerdictCode): void {
    this.verdicts.count(code);
  }

  /** Counts one refusal by a limit. */
  countLimit(target: LimitTarget, unit: LimitUnit): void {
    this.limits.inc({ target, unit });
  }
}

/** In whole seconds, so that the sentence does not change with every look. */
function clockProblem(aheadMs: number): string | null {
  if (Math.abs(aheadMs) <= CLOCK_TOLERANCE_MS) return null;
  const seconds = Math.round(Math.abs(aheadMs) / 1000);
  const side = aheadMs > 0 ? 'ahead of' : 'behind';
  return `The clock of this machine is ${seconds} s ${side} the database's: look at NTP on both.`;
}

function watchCache(meters: Metrics, cache: RecordCache, loader: RecordLoader): void {
  meters.gauge('latchkey_record_cache_bytes', 'Estimated size of the record cache.', () => cache.stats().bytes);
  meters.gauge('latchkey_record_cache_keys', 'Keys in the record cache.', () => cache.stats().keys);
  meters.gauge(
    'latchkey_record_cache_unknown',
    'Ids of keys that are remembered as unknown.',
    () => cache.stats().unknown,
  );
  meters.gauge(
    'latchkey_record_loads_queued',
    'Look-ups of keys that wait for the database.',
    () => loader.stats().waiting,
  );
}
