import { Global, Module } from '@nestjs/common';
import { Clock } from '../common/clock.js';
import { Config } from '../config/config.js';
import { DataPlaneConnections } from './data-plane-connections.js';
import { Denylist } from './denylist/denylist.js';
import { DenylistFile } from './denylist/denylist-file.js';
import { FeedPoller } from './feed/feed-poller.service.js';
import { FeedService } from './feed/feed.service.js';
import { ImportedReader } from './records/imported-reader.js';
import { KeyRecordsReader } from './records/key-records.reader.js';
import { RECORD_CACHE_DEFAULTS, RecordCache } from './records/record-cache.js';
import { RecordLoader } from './records/record-loader.js';
import { RecordRefresh } from './records/record-refresh.service.js';

/** The cores know no framework: what they need of the outside is given to them here. */
const cores = [
  {
    provide: RecordCache,
    inject: [Config],
    useFactory: ({ recordCacheBytes }: Config) =>
      new RecordCache({ ...RECORD_CACHE_DEFAULTS, maxBytes: recordCacheBytes }),
  },
  {
    provide: RecordLoader,
    inject: [RecordCache, KeyRecordsReader, Clock],
    useFactory: (cache: RecordCache, records: KeyRecordsReader, clock: Clock) =>
      new RecordLoader(cache, {
        monotonicMs: () => clock.monotonicMs(),
        soon: setImmediate,
        fetch: (wanted, timeoutMs) => records.load(wanted, timeoutMs),
      }),
  },
  { provide: Denylist, useFactory: () => new Denylist() },
];

/** What a replica knows of keys in memory, and the change feed that keeps it true. */
@Global()
@Module({
  providers: [
    ...cores,
    DataPlaneConnections,
    KeyRecordsReader,
    ImportedReader,
    FeedService,
    FeedPoller,
    DenylistFile,
    RecordRefresh,
  ],
  exports: [
    DataPlaneConnections,
    Denylist,
    FeedPoller,
    FeedService,
    ImportedReader,
    KeyRecordsReader,
    RecordCache,
    RecordLoader,
  ],
})
export class KeyCacheModule {}
