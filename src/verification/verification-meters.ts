import { Injectable } from '@nestjs/common';
import { Meters, type Tally } from '../common/meters.js';
import { VERDICT_CODES, type VerdictCode } from './checks.js';
import { FeedService } from './feed/feed.service.js';
import { RecordCache } from './records/record-cache.js';
import { RecordLoader } from './records/record-loader.js';
import { ReplicasService } from './replicas/replicas.service.js';

/** What Prometheus is told of the data plane. */
@Injectable()
export class VerificationMeters {
  private readonly verdicts: Tally<VerdictCode>;

  constructor(meters: Meters, feed: FeedService, cache: RecordCache, loader: RecordLoader, replicas: ReplicasService) {
    this.verdicts = meters.tally('latchkey_verdicts_total', 'Verdicts by code', 'code', VERDICT_CODES);
    meters.gauge('latchkey_feed_age_seconds', 'Age of what is known of changes; beyond STALE_MAX_SECONDS nothing is answered', () => (feed.ageMs ?? Infinity) / 1000);
    meters.gauge('latchkey_feed_applied_seq', 'The last change applied here', () => Number(feed.appliedSeq));
    meters.gauge('latchkey_record_cache_bytes', 'Estimated size of the record cache', () => cache.stats().bytes);
    meters.gauge('latchkey_record_cache_keys', 'Keys in the record cache', () => cache.stats().keys);
    meters.gauge('latchkey_record_cache_unknown', 'Kids remembered as unknown', () => cache.stats().unknown);
    meters.gauge('latchkey_record_loads_waiting', 'Look-ups that wait for the database', () => loader.stats().waiting);
    meters.gauge('latchkey_replicas_live', 'Replicas seen alive of late, this one included', () => replicas.liveCount);
  }

  /** Counts one verdict. */
  count(code: VerdictCode): void {
    this.verdicts.count(code);
  }
}
