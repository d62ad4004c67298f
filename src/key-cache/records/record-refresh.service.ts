import { Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { RecordCache } from './record-cache.js';
import { RecordLoader } from './record-loader.js';
import { RecordRefresher } from './record-refresher.js';

/** With a statement of 250 records each time: 100 000 keys in use are read anew in their last 120 s with room to spare. */
const REFRESH_EVERY_MS = 200;

/** Keeps the records of keys in use fresh. */
@Injectable()
export class RecordRefresh implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly refresher: RecordRefresher;
  private timer: NodeJS.Timeout | undefined;

  constructor(cache: RecordCache, loader: RecordLoader) {
    this.refresher = new RecordRefresher(cache, loader);
  }

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => this.refresher.refresh(), REFRESH_EVERY_MS).unref();
  }

  onApplicationShutdown(): void {
    clearInterval(this.timer);
  }
}
