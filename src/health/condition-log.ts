import { Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { Conditions } from '../common/conditions.js';
import { RepeatedLog } from '../common/repeated-log.js';
import { Periodic } from '../common/periodic.js';

const LOOK_EVERY_MS = 1_000;

/** Writes a line when something stops working, and one when it works again, also while health is not asked for. */
@Injectable()
export class ConditionLog implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger('Health');
  private readonly lines = new RepeatedLog(({ level, ...fields }) =>
    this.logger[level as 'log' | 'warn' | 'error'](fields),
  );
  /** Since when what does not work has not worked, monotonic. */
  private readonly downSinceMs = new Map<string, number>();
  private readonly looks = new Periodic(LOOK_EVERY_MS, () => this.look());

  constructor(private readonly conditions: Conditions) {}

  onApplicationBootstrap(): void {
    this.looks.start();
  }

  onApplicationShutdown(): void {
    void this.looks.stop();
    this.lines.flush();
  }

  private look(): void {
    const nowMs = performance.now();
    for (const [condition, { reason }] of Object.entries(this.conditions.check())) {
      const sinceMs = this.downSinceMs.get(condition);
      if (reason !== undefined && sinceMs === undefined) {
        this.downSinceMs.set(condition, nowMs);
        this.lines.add(`${condition} down`, {
          level: this.conditions.levelOf(condition),
          msg: reason,
          condition,
          status: 'degraded',
        });
      } else if (reason === undefined && sinceMs !== undefined) {
        this.downSinceMs.delete(condition);
        const downSeconds = Math.round((nowMs - sinceMs) / 100) / 10;
        this.lines.add(`${condition} up`, {
          level: 'log',
          msg: 'This works again.',
          condition,
          status: 'up',
          downSeconds,
        });
      }
    }
  }
}
