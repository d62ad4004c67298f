import { Injectable } from '@nestjs/common';
import { Clock } from '../common/clock.js';
import { Conditions } from '../common/conditions.js';
import { Meters, type Tally } from '../common/meters.js';
import { VERDICT_CODES, type VerdictCode } from './checks.js';
import { ClockOffset } from './feed/clock-offset.js';
import { FeedService } from './feed/feed.service.js';
import { RecordCache } from './records/record-cache.js';
import { RecordLoader } from './records/record-loader.js';
import { ReplicasService } from './replicas/replicas.service.js';

const NOT_FRESH = 'Changes of keys do not arrive here: verifies are answered from memory, for STALE_MAX_SECONDS at most.';

/** What Prometheus is told of the data plane. */
@Injectable()
export class VerificationMeters {
  private readonly verdicts: Tally<VerdictCode>;

  constructor(meters: Meters, conditions: Conditions, clock: Clock, feed: FeedService, cache: RecordCache, loader: RecordLoader, replicas: ReplicasService) {
    conditions.register('feed', 'changes of other replicas arrive within three seconds', () => (feed.standing(feed.tick()) === 'fresh' ? null : NOT_FRESH));
    feed.addListener(new ClockOffset(() => clock.now().getTime(), conditions, meters));
    this.verdicts = meters.tally('latchkey_verdicts_total', 'Verdicts.', 'code', VERDICT_CODES);
    meters.gauge('latchkey_feed_age_seconds', 'Age of what this replica knows of changes. Beyond STALE_MAX_SECONDS nothing is answered.', () => (feed.ageMs ?? Infinity) / 1000);
    meters.gauge('latchkey_feed_applied_seq', 'Sequence number of the last change applied here.', () => Number(feed.appliedSeq));
    meters.gauge('latchkey_record_cache_bytes', 'Estimated size of the record cache.', () => cache.stats().bytes);
    meters.gauge('latchkey_record_cache_keys', 'Keys in the record cache.', () => cache.stats().keys);
    meters.gauge('latchkey_record_cache_unknown', 'Ids of keys that are remembered as unknown.', () => cache.stats().unknown);
    meters.gauge('latchkey_record_loads_queued', 'Look-ups of keys that wait for the database.', () => loader.stats().waiting);
    meters.gauge('latchkey_replicas', 'Replicas that this one has seen alive of late, itself included.', () => replicas.liveCount);
  }

  /** Counts one verdict. */
  count(code: VerdictCode): void {
    this.verdicts.count(code);
  }
}
