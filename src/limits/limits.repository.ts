import { Injectable } from '@nestjs/common';
import { EntityManager, type SelectQueryBuilder } from 'typeorm';
import type { LimitTargetKind, LimitUnit } from '../../packages/contract/src/limit.js';
import { MAX_COUNTED_ROWS } from '../common/page.js';
import { ADVISORY_LOCKS } from '../database/advisory-locks.js';
import { BINDS_KEY, fullerThan } from './account-sql.js';
import type { LimitSort } from './limits-query.dto.js';
import { Limit } from './limit.entity.js';

/** What a limit is on. */
export interface LimitTarget {
  readonly kind: LimitTargetKind;
  readonly id: string | null;
}

/** Which limits of a list. All that is given must hold. */
export interface LimitFilter {
  readonly ids?: readonly string[] | undefined;
  readonly target?: LimitTarget | undefined;
  /** A key that they bind. */
  readonly binds?: string | undefined;
  readonly unit?: LimitUnit | undefined;
  /** Percent. */
  readonly usedAbove?: number | undefined;
}

/**
 * Whether a target can get a limit, and a lock that its deletion waits for, in the order in which all changes lock
 * such rows. A user is deleted by an update, which a weaker lock than this one would let pass.
 */
const TARGET_ROWS = [
  ['owner', 'SELECT deleted_at IS NULL AS fits FROM users WHERE id = $1 FOR SHARE'],
  ['project', 'SELECT true AS fits FROM project WHERE id = $1 FOR KEY SHARE'],
  ['key', 'SELECT revoked_at IS NULL AS fits FROM api_key WHERE id = $1 FOR KEY SHARE'],
] as const satisfies readonly (readonly [LimitTargetKind, string])[];

/** Names in PostgreSQL's list that are no places: other spellings, zones with leap seconds, and what a host says. */
const NO_ZONES = '^(posix|right)/|^(localtime|posixrules|Factory)$';

/** Names of targets, where they still exist. */
const TARGET_NAMES = `
  SELECT t.kind, t.id, coalesce(k.name, u.name, p.name) AS name FROM unnest($1::text[], $2::uuid[]) AS t (kind, id)
    LEFT JOIN api_key k ON t.kind = 'key' AND k.id = t.id
    LEFT JOIN users u ON t.kind = 'owner' AND u.id = t.id
    LEFT JOIN project p ON t.kind = 'project' AND p.id = t.id`;

/** Rows of limits that hold; those that have ended are found by nothing here. */
@Injectable()
export class LimitsRepository {
  constructor(private readonly manager: EntityManager) {}

  /** The same repository inside a transaction. */
  in(tx: EntityManager): LimitsRepository {
    return new LimitsRepository(tx);
  }

  /** Lets one change at a time decide which limits a target has, until the transaction ends. Taken before any row. */
  async lockRules(): Promise<void> {
    await this.manager.query('SELECT pg_advisory_xact_lock($1)', [ADVISORY_LOCKS.limits]);
  }

  /** A limit by id, or null. */
  findById(id: string): Promise<Limit | null> {
    return this.holding().andWhere('l.id = :id', { id }).getOne();
  }

  /** The limit, locked against changes, or null. */
  findForUpdate(id: string): Promise<Limit | null> {
    return this.holding().andWhere('l.id = :id', { id }).setLock('for_no_key_update').getOne();
  }

  /** The limit of an alias, or null. */
  findByAlias(alias: string): Promise<Limit | null> {
    return this.holding().andWhere('l.alias = :alias', { alias }).getOne();
  }

  /** The limits of a target, oldest first. */
  findOfTarget({ kind, id }: LimitTarget): Promise<Limit[]> {
    return this.onTarget(this.holding(), { kind, id }).orderBy('l.id').getMany();
  }

  /** Limits by their ids, in order of name. */
  findAll(ids: readonly string[]): Promise<Limit[]> {
    return this.holding().andWhere('l.id = ANY(:ids)', { ids }).orderBy('lower(l.name)').addOrderBy('l.id').getMany();
  }

  /** Limits of a list, after so many, and behind this place where it is given. */
  findPage(
    filter: LimitFilter,
    sort: LimitSort,
    { offset, size, behind }: { offset: number; size: number; behind: readonly string[] | null },
  ): Promise<Limit[]> {
    const isDescending = sort.startsWith('-');
    const direction = isDescending ? 'DESC' : 'ASC';
    // Ids are in order of creation.
    const orders = sort.endsWith('name') ? ['lower(l.name)', 'l.id'] : ['l.id'];
    const query = this.matching(filter).offset(offset).limit(size);
    for (const order of orders) query.addOrderBy(order, direction);
    if (behind !== null) {
      const values = orders.map((_, index) => (orders[index] === 'l.id' ? `:at${index}::uuid` : `lower(:at${index})`));
      query.andWhere(
        `(${orders.join(', ')}) ${isDescending ? '<' : '>'} (${values.join(', ')})`,
        Object.fromEntries(behind.map((value, index) => [`at${index}`, value])),
      );
    }
    return query.getMany();
  }

  /** How many limits a list has, counted up to one more than it shows. */
  async count(filter: LimitFilter): Promise<number> {
    const [sql, parameters] = this.matching(filter)
      .select('1')
      .limit(MAX_COUNTED_ROWS + 1)
      .getQueryAndParameters();
    const [row] = await this.manager.query<{ count: number }[]>(
      `SELECT count(*)::int AS count FROM (${sql}) AS counted`,
      parameters,
    );
    return row!.count;
  }

  /** Adds a limit. @throws QueryFailedError 23505 on `quota_limit_alias_key` when the alias is taken. */
  async insert(limit: Limit): Promise<void> {
    await this.manager.createQueryBuilder().insert().into(Limit).values(limit).updateEntity(false).execute();
  }

  /** Writes every field of a limit that can change. @throws as `insert` */
  async update({ id, name, alias, description, amount, models, mode, updatedAt }: Limit): Promise<void> {
    await this.manager
      .createQueryBuilder()
      .update(Limit)
      .set({ name, alias, description, amount, models, mode, updatedAt })
      .where('id = :id', { id })
      .execute();
  }

  /** Ends a limit: it binds no call from then on, and its alias is free. */
  async end({ id, endedAt }: Limit): Promise<void> {
    await this.manager
      .createQueryBuilder()
      .update(Limit)
      .set({ endedAt, alias: null })
      .where('id = :id', { id })
      .execute();
  }

  /**
   * Keeps targets from being deleted until the transaction ends. To be called before any limit of theirs is locked.
   * Gives how many of them can get a limit.
   */
  async keepTargets(targets: readonly LimitTarget[]): Promise<number> {
    let fitting = targets.filter(({ kind }) => kind === 'installation').length;
    for (const [kind, lock] of TARGET_ROWS) {
      const ids = targets.flatMap((target) => (target.kind === kind && target.id !== null ? [target.id] : []));
      for (const id of [...new Set(ids)].sort()) {
        const [row] = await this.manager.query<{ fits: boolean }[]>(lock, [id]);
        if (row?.fits === true) fitting += 1;
      }
    }
    return fitting;
  }

  /** Names of targets by `kind:id`; the installation, and what is gone, have none. */
  async namesOf(targets: readonly LimitTarget[]): Promise<ReadonlyMap<string, string>> {
    const named = targets.filter(({ id }) => id !== null);
    if (named.length === 0) return new Map();
    const rows = await this.manager.query<{ kind: LimitTargetKind; id: string; name: string | null }[]>(TARGET_NAMES, [
      named.map(({ kind }) => kind),
      named.map(({ id }) => id),
    ]);
    return new Map(rows.flatMap(({ kind, id, name }) => (name === null ? [] : [[`${kind}:${id}`, name]])));
  }

  /** Whether PostgreSQL, which computes periods, knows a time zone by this name. */
  async isZone(name: string): Promise<boolean> {
    const rows = await this.manager.query<unknown[]>('SELECT FROM pg_timezone_names WHERE name = $1 AND name !~ $2', [
      name,
      NO_ZONES,
    ]);
    return rows.length > 0;
  }

  private holding(): SelectQueryBuilder<Limit> {
    return this.manager.createQueryBuilder(Limit, 'l').where('l.endedAt IS NULL');
  }

  private matching({ ids, target, binds, unit, usedAbove }: LimitFilter): SelectQueryBuilder<Limit> {
    const query = this.holding();
    if (ids !== undefined) query.andWhere('l.id = ANY(:ids)', { ids });
    if (target !== undefined) this.onTarget(query, target);
    if (binds !== undefined)
      query.andWhere(`EXISTS (SELECT FROM api_key k WHERE k.id = :binds AND ${BINDS_KEY})`, { binds });
    if (unit !== undefined) query.andWhere('l.unit = :unit', { unit });
    if (usedAbove !== undefined) query.andWhere(fullerThan(':usedAbove::numeric'), { usedAbove });
    return query;
  }

  private onTarget(query: SelectQueryBuilder<Limit>, { kind, id }: LimitTarget): SelectQueryBuilder<Limit> {
    query.andWhere('l.targetKind = :kind', { kind });
    return id === null ? query : query.andWhere('l.targetId = :targetId', { targetId: id });
  }
}
