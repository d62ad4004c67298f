import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import type { Caller } from '../access/caller.js';
import { Config } from '../config/config.js';
import { type ActEntry, appendActs, isRetriable } from './append.js';
import { StartOver } from './start-over.js';

/** The channel that wakes replicas; the rows themselves are the message. */
export const CHANGE_CHANNEL = 'latchkey_changes';

/** One change for the trail. */
export type ChangeEntry = ActEntry;

/** A change in progress: work in `tx`, and say what was done by `record`. */
export interface Change {
  readonly tx: EntityManager;
  readonly record: (entry: ChangeEntry) => void;
}

/** What a change came to: its result, and the `seq` by which a replica has applied it (null: nothing changed). */
export interface Committed<T> {
  readonly result: T;
  readonly seq: string | null;
}

const MAX_ATTEMPTS = 4;

/**
 * The only door to a management change. The change and its audit rows commit together or not at all, and
 * the audit rows are the change feed: the head row is locked last, so that order of `seq` is order of
 * commit, without gaps.
 *
 * @see docs/adr/0003-audit-chain-and-change-feed.md
 */
@Injectable()
export class Changes {
  constructor(
    private readonly dataSource: DataSource,
    private readonly config: Config,
  ) {}

  /**
   * Runs `work` in one transaction and appends what it recorded. A change that recorded nothing leaves no
   * trace and wakes nobody. `work` may run more than once and must have no effect but through `tx`.
   *
   * @throws DomainError 503 by the problem filter when a lock is not to be had within 2 s.
   */
  async transaction<T>(caller: Caller, work: (change: Change) => Promise<T>): Promise<T> {
    return (await this.commit(caller, work)).result;
  }

  /** As `transaction`, telling the sequence number of the change as well. */
  async commit<T>(caller: Caller, work: (change: Change) => Promise<T>): Promise<Committed<T>> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.attempt(caller, work);
      } catch (error) {
        if (attempt >= MAX_ATTEMPTS || !(isRetriable(error) || error instanceof StartOver)) throw error;
      }
    }
  }

  private async attempt<T>(caller: Caller, work: (change: Change) => Promise<T>): Promise<Committed<T>> {
    return this.dataSource.transaction(async (tx) => {
      await tx.query(`SET LOCAL lock_timeout = '2s'`);
      const entries: ChangeEntry[] = [];
      const result = await work({ tx, record: (entry) => entries.push(entry) });
      if (entries.length === 0) return { result, seq: null };
      const acts = entries.map((entry) => ({ caller, entry }));
      return { result, seq: await appendActs(tx, this.config.auditKeys, acts, CHANGE_CHANNEL) };
    });
  }
}
