import { Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { Periodic } from '../../common/periodic.js';
import { RecordCache } from './record-cache.js';
import { RecordLoader } from './record-loader.js';
import { RecordRefresher } from './record-refresher.js';

/**
 * With a statement of 100 records each time, where none takes longer: 100 000 keys in use are read anew in their last
 * 120 s with room to spare.
 */
const REFRESH_EVERY_MS = 80;

/** Keeps the records of keys in use fresh. */
@Injectable()
export class RecordRefresh implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly refreshing: Periodic;

  constructor(cache: RecordCache, loader: RecordLoader) {
    const refresher = new RecordRefresher(cache, loader);
    this.refreshing = new Periodic(REFRESH_EVERY_MS, () => refresher.refresh());
  }

  onApplicationBootstrap(): void {
    this.refreshing.start();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.refreshing.stop();
  }
}
