import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';

/** Whoever asks for readiness wants to know now, not when a connection attempt has given up. */
const PROBE_TIMEOUT_MS = 1000;

/** Asks the database for a sign of life. */
@Injectable()
export class DatabaseProbe {
  /** The question that is under way: however many ask, one connection is used. */
  private pending: Promise<boolean> | null = null;

  constructor(private readonly dataSource: DataSource) {}

  /** Whether PostgreSQL answers within a second; never throws. */
  async answers(): Promise<boolean> {
    this.pending ??= this.ask().finally(() => (this.pending = null));
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<false>((resolve) => (timer = setTimeout(() => resolve(false), PROBE_TIMEOUT_MS)));
    try {
      return await Promise.race([this.pending, timeout]);
    } finally {
      clearTimeout(timer);
    }
  }

  private async ask(): Promise<boolean> {
    try {
      await this.dataSource.query('SELECT 1');
      return true;
    } catch {
      return false;
    }
  }
}
