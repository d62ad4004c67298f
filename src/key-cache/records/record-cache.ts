import { grantsOfKey } from '../../access/grants.reader.js';
import type { LimitTarget } from '../../quotas/limits/limit-facts.js';
import { BoundedStore, type Stored } from './bounded-store.js';
import type { Change } from './change.js';
import { ImportedFilter } from './imported-filter.js';
import { type InstallationEntry, InstallationLimits } from './installation-limits.js';
import { joined } from './key-record.js';
import type { KeyFacts, KeyRecord, OwnerFacts, ProjectFacts, RoleFacts, SecretFacts } from './key-record.js';
import { type LoadedRows, grantsOfRole } from './loaded-records.js';
import { sizeOf } from './size-of.js';

/** Bounds of a cache. */
export interface RecordCacheOptions {
  /** Cap of the estimated bytes of all records. */
  readonly maxBytes: number;
  /** Absolute age of a record, counted from before its load was sent; reads never extend it. */
  readonly maxAgeMs: number;
  /** Most names that are remembered as unknown. */
  readonly maxUnknown: number;
}

/** What a process with nothing configured uses: a test holds that 100 000 keys of usual size find room. */
export const RECORD_CACHE_DEFAULTS: RecordCacheOptions = {
  maxBytes: 160 * 1024 * 1024,
  maxAgeMs: 5 * 60_000,
  maxUnknown: 10_000,
};

/** An entry and its place in its map. */
const ENTRY_BYTES = 128;
/** The same of a secret, its record, and the digest that proves it. */
const SECRET_BYTES = 272;
const UNKNOWN_BYTES = 160;
const NO_PARTS: readonly object[] = [];
/** In this last part of its age a record that is read is read anew from the database, while it still answers. */
const REFRESH_AHEAD = 0.4;
/** Most records that wait to be read anew; one that finds no place asks again when it is read the next time. */
const MAX_AGING = 10_000;

/** A load under way: taken before its statement is sent. */
export interface LoadTicket {
  readonly sentAtMs: number;
  readonly generation: number;
}

/** Whether a load was taken: `behind` a change applied here, or from another `epoch`. */
export type PutOutcome = 'put' | 'behind' | 'other-epoch';

/**
 * A thing as one snapshot had it; changes up to `seq` are in it. A class: made by spreading, each entry would have a
 * shape of its own.
 */
class Entry<F extends object> implements Stored {
  readonly bytes: number;
  isGone = false;
  wasRead = false;

  constructor(
    readonly facts: F,
    readonly seq: bigint,
    readonly staleAtMs: number,
    ownBytes = sizeOf(facts),
  ) {
    this.bytes = ENTRY_BYTES + ownBytes;
  }

  get parts(): readonly object[] {
    return NO_PARTS;
  }
}

type OwnerEntry = Entry<OwnerFacts>;
type RoleEntry = Entry<RoleFacts>;
type ProjectEntry = Entry<ProjectFacts>;

class KeyEntry extends Entry<KeyFacts> {
  grants: JoinedGrants | null = null;
  /** A read has asked for a fresh record. */
  isAging = false;

  constructor(
    facts: KeyFacts,
    readonly secrets: readonly SecretEntry[],
    seq: bigint,
    staleAtMs: number,
  ) {
    super(facts, seq, staleAtMs, bytesOf(facts, secrets));
  }

  override get parts(): readonly object[] {
    return partsOf(this.facts);
  }
}

/** A secret in the cache; it lives exactly as long as its key's entry. */
class SecretEntry {
  /** Set by the key's entry, which is made of its secrets. */
  key: KeyEntry;
  record: KeyRecord | null = null;
  owner: OwnerEntry | null = null;
  /** Null: of a key in no project. */
  project: ProjectEntry | null = null;
  installation: InstallationEntry | null = null;
  /** Under which the whole presented string is remembered as proven. */
  digest: string | null = null;

  constructor(readonly facts: SecretFacts) {}
}

/** What the reader gives to many keys alike. */
function partsOf(facts: KeyFacts): readonly object[] {
  const { scopes, roles, tags, metadata, allowedIps, allowedModels, allowedChatbots, limitsOfKey } = facts;
  return [scopes, roles, tags, metadata, allowedIps, allowedModels, allowedChatbots, limitsOfKey];
}

/** The id is in many places, and in memory once; so are those of owner and project, in the entries of these. */
function bytesOf(facts: KeyFacts, secrets: readonly SecretEntry[]): number {
  const { id, ownerId, projectId } = facts;
  const ofKey = sizeOf(id) + sizeOf(facts, [...partsOf(facts), id, ownerId, projectId, facts.limits.limits]);
  return secrets.reduce((sum, secret) => sum + SECRET_BYTES + sizeOf(secret.facts, [id]), ofKey);
}

/** Grants of a key, good while every role they were joined from, and its owner, are. */
interface JoinedGrants {
  readonly grants: readonly string[];
  readonly parts: readonly Stored[];
}

/**
 * What a replica remembers of keys, never of decisions: key with its secrets, owner, project and role, each its own, so
 * that a change of one evicts one. A plain class: time is passed in, and loads and changes come in any order.
 *
 * A revoked key is never resurrected: a load is taken only if its snapshot contains the last change applied here, and
 * applying evicts and moves that mark in one step.
 *
 * @see docs/adr/0006-memory-that-a-feed-keeps-true.md, and the simulation beside this file
 */
export class RecordCache {
  private readonly keys: BoundedStore<KeyEntry>;
  private readonly owners: BoundedStore<OwnerEntry>;
  private readonly roles: BoundedStore<RoleEntry>;
  private readonly projects: BoundedStore<ProjectEntry>;
  private readonly installation = new InstallationLimits();
  private readonly unknown: BoundedStore<Stored>;
  /** Which secrets of other systems there are at all. */
  readonly imported = new ImportedFilter();
  private readonly byKid = new Map<string, SecretEntry>();
  private readonly byDigest = new Map<string, SecretEntry>();
  private readonly aging: SecretFacts[] = [];
  private readonly refreshAheadMs: number;
  private generation = 0;
  private epoch: string | null = null;
  /** The last change that could have touched a record. */
  private lastChangeSeq = 0n;

  constructor(private readonly options: RecordCacheOptions = RECORD_CACHE_DEFAULTS) {
    this.keys = new BoundedStore(Math.floor(options.maxBytes * 0.85), (entry) => this.forgetSecrets(entry));
    this.owners = new BoundedStore(Math.floor(options.maxBytes * 0.08));
    this.projects = new BoundedStore(Math.floor(options.maxBytes * 0.03));
    this.roles = new BoundedStore(Math.floor(options.maxBytes * 0.04));
    this.unknown = new BoundedStore(options.maxUnknown * UNKNOWN_BYTES);
    this.refreshAheadMs = options.maxAgeMs * REFRESH_AHEAD;
  }

  /** The record whose secret this digest of a whole presented string has proven, or null. */
  findProven(digest: string, nowMs: number): KeyRecord | null {
    const secret = this.byDigest.get(digest);
    return secret === undefined ? null : this.join(secret, nowMs);
  }

  /** The record of a secret by its kid; nothing about what was presented is proven by it. */
  findByKid(kid: string, nowMs: number): KeyRecord | null {
    const secret = this.byKid.get(kid);
    return secret === undefined ? null : this.join(secret, nowMs);
  }

  /** Whether `name` (a kid, or the digest of another system's key) was looked up and not found. */
  isUnknown(name: string, nowMs: number): boolean {
    return this.unknown.find(name, nowMs) !== null;
  }

  /** What a cached key may do in Latchkey: its roles' grants within its owner's; null when a part is missing. */
  findGrants(record: KeyRecord, nowMs: number): readonly string[] | null {
    const secret = this.byKid.get(record.secret.kid);
    if (secret?.facts !== record.secret || this.join(secret, nowMs)?.owner !== record.owner) return null;
    const { key } = secret;
    if (key.grants !== null && key.grants.parts.every((part) => isGood(part, nowMs))) return key.grants.grants;
    key.grants = this.joinGrants(secret, nowMs);
    return key.grants?.grants ?? null;
  }

  /** Remembers that `digest` proves the secret of `record`, for as long as this very record is cached. */
  remember(record: KeyRecord, digest: string): void {
    const secret = this.byKid.get(record.secret.kid);
    if (secret?.facts !== record.secret) return;
    if (secret.digest !== null) this.byDigest.delete(secret.digest);
    secret.digest = digest;
    this.byDigest.set(digest, secret);
  }

  /** To be taken before a load's statement is sent. */
  beginLoad(nowMs: number): LoadTicket {
    return { sentAtMs: nowMs, generation: this.generation };
  }

  /** Takes the rows of a load, and the names it asked for in vain, if no change has overtaken them. */
  put(ticket: LoadTicket, rows: LoadedRows, missing: readonly string[]): PutOutcome {
    if (ticket.generation !== this.generation || rows.epoch !== this.epoch) return 'other-epoch';
    if (!this.contains(rows.seq)) return 'behind';
    const staleAtMs = Math.floor(ticket.sentAtMs + this.options.maxAgeMs);
    const { seq } = rows;
    for (const owner of rows.owners) this.owners.put(owner.id, new Entry(owner, seq, staleAtMs));
    for (const role of rows.roles) this.roles.put(role.name, new Entry(role, seq, staleAtMs));
    for (const project of rows.projects) this.projects.put(project.id, new Entry(project, seq, staleAtMs));
    this.installation.put(rows.installation, seq, staleAtMs);
    for (const key of rows.keys) this.putKey(key, rows, staleAtMs);
    for (const name of missing) {
      this.unknown.put(name, { bytes: UNKNOWN_BYTES, parts: NO_PARTS, staleAtMs, isGone: false, wasRead: false });
    }
    return 'put';
  }

  /** Evicts what the changes touch, and from now on refuses loads that do not contain them. In order of `seq`. */
  apply(changes: readonly Change[]): void {
    for (const change of changes) {
      this.evict(change);
      this.lastChangeSeq = change.seq;
    }
  }

  /** Drops everything and starts anew at `seq` of `epoch`; loads under way are refused. */
  restart(epoch: string, seq: bigint): void {
    this.generation += 1;
    this.epoch = epoch;
    this.lastChangeSeq = seq;
    for (const store of [this.keys, this.owners, this.roles, this.projects, this.unknown]) store.clear();
    this.installation.clear();
    this.imported.restart(epoch);
    this.aging.length = 0;
  }

  /** At most `most` secrets that were read of late and whose records are old enough to be read anew; each once. */
  takeAging(most: number): SecretFacts[] {
    return this.aging.splice(0, most);
  }

  /** Sizes, for metrics and bounds. */
  stats(): {
    keys: number;
    secrets: number;
    proven: number;
    owners: number;
    projects: number;
    roles: number;
    unknown: number;
    bytes: number;
  } {
    return {
      keys: this.keys.size,
      secrets: this.byKid.size,
      proven: this.byDigest.size,
      owners: this.owners.size,
      projects: this.projects.size,
      roles: this.roles.size,
      unknown: this.unknown.size,
      bytes: this.keys.bytes + this.owners.bytes + this.roles.bytes + this.projects.bytes + this.unknown.bytes,
    };
  }

  // The two rules that the simulation breaks on purpose, one at a time, to show that it would notice.

  /** The fill guard. */
  protected contains(seq: bigint): boolean {
    return seq >= this.lastChangeSeq;
  }

  protected evict(change: Change): void {
    const { touches, id, seq, importedMacs = [] } = change;
    if (touches === 'limit') return this.evictLimit(change);
    if (touches === 'project') return evictFrom(this.projects, id, seq);
    if (touches === 'owner') return evictFrom(this.owners, id, seq);
    if (touches === 'role') return evictFrom(this.roles, id, seq);
    evictFrom(this.keys, id, seq);
    const added = importedMacs.filter((mac) => this.imported.add(mac));
    // What is imported may have been asked for before. A kid has not: it is drawn with its secret.
    if (added.length > 0 || id === null) this.unknown.clear();
  }

  /** What the limit is of; all lists of limits where that is not known. */
  private evictLimit({ target, seq }: Change): void {
    const evicts = (kind: LimitTarget): boolean => !target || target.kind === kind;
    const id = target?.id ?? null;
    if (evicts('installation')) this.installation.evict(seq);
    if (evicts('project')) evictFrom(this.projects, id, seq);
    if (evicts('owner')) evictFrom(this.owners, id, seq);
    if (evicts('key')) evictFrom(this.keys, id, seq);
  }

  private putKey(facts: KeyFacts, { secrets: all, seq }: LoadedRows, staleAtMs: number): void {
    const secrets = all.filter(({ keyId }) => keyId === facts.id).map((secret) => new SecretEntry(secret));
    const entry = new KeyEntry(facts, secrets, seq, staleAtMs);
    for (const secret of secrets) {
      secret.key = entry;
      const before = this.byKid.get(secret.facts.kid);
      if (before !== undefined && isSameSecret(before.facts, secret.facts)) secret.digest = before.digest;
    }
    this.keys.put(facts.id, entry);
    if (entry.isGone) return;
    for (const secret of secrets) {
      this.byKid.set(secret.facts.kid, secret);
      if (secret.digest !== null) this.byDigest.set(secret.digest, secret);
    }
  }

  private forgetSecrets(key: KeyEntry): void {
    for (const secret of key.secrets) {
      if (this.byKid.get(secret.facts.kid) === secret) this.byKid.delete(secret.facts.kid);
      if (secret.digest !== null) this.byDigest.delete(secret.digest);
      secret.digest = null;
    }
  }

  /** Key, owner, project and limits as they are now; null when one of them is gone or too old. */
  private join(secret: SecretEntry, nowMs: number): KeyRecord | null {
    const { key } = secret;
    if (key.staleAtMs - this.refreshAheadMs <= nowMs) {
      if (key.staleAtMs <= nowMs) {
        this.keys.delete(key.facts.id);
        return null;
      }
      this.noteAging(secret);
    }
    key.wasRead = true;
    if (secret.record !== null && isGood(secret.owner!, nowMs) && isGood(secret.installation!, nowMs)) {
      const { project } = secret;
      if (project === null || isGood(project, nowMs)) {
        secret.owner!.wasRead = true;
        if (project !== null) project.wasRead = true;
        return secret.record;
      }
    }
    return (secret.record = this.joinParts(secret, nowMs));
  }

  private joinParts(secret: SecretEntry, nowMs: number): KeyRecord | null {
    const { facts } = secret.key;
    secret.owner = this.owners.find(facts.ownerId, nowMs);
    secret.project = facts.projectId === null ? null : this.projects.find(facts.projectId, nowMs);
    secret.installation = this.installation.find(nowMs);
    const { owner, project, installation } = secret;
    if (owner === null || installation === null || (facts.projectId !== null && project === null)) return null;
    return joined(secret.facts, facts, owner.facts, project?.facts ?? null, installation.limits);
  }

  private noteAging({ key, facts }: SecretEntry): void {
    if (key.isAging || this.aging.length >= MAX_AGING) return;
    key.isAging = true;
    this.aging.push(facts);
  }

  private joinGrants(secret: SecretEntry, nowMs: number): JoinedGrants | null {
    const owner = secret.owner!;
    const find = (name: string): RoleEntry | null => this.roles.find(name, nowMs);
    const keyRoles = secret.key.facts.roles.map(find);
    const ownerRoles = owner.facts.roles.map(find);
    if (!areAll(keyRoles) || !areAll(ownerRoles)) return null;
    const granted = (roles: readonly RoleEntry[]) => roles.flatMap(({ facts }) => grantsOfRole(facts));
    return { grants: grantsOfKey(granted(keyRoles), granted(ownerRoles)), parts: [owner, ...keyRoles, ...ownerRoles] };
  }
}

/** What was loaded after the change, and before it was applied here, contains it already. */
function evictFrom(
  store: BoundedStore<KeyEntry> | BoundedStore<OwnerEntry> | BoundedStore<RoleEntry> | BoundedStore<ProjectEntry>,
  name: string | null,
  seq: bigint,
): void {
  if (name === null) return store.clear();
  const entry = store.peek(name);
  if (entry !== null && entry.seq < seq) store.delete(name);
}

/** What proved the one proves the other. */
function isSameSecret(one: SecretFacts, other: SecretFacts): boolean {
  return (
    one.keyId === other.keyId &&
    one.kind === other.kind &&
    one.pepperVersion === other.pepperVersion &&
    one.mac.equals(other.mac) &&
    areSameBytes(one.binding, other.binding)
  );
}

function areSameBytes(one: Buffer | null, other: Buffer | null): boolean {
  return one === null || other === null ? one === other : one.equals(other);
}

function isGood(part: Stored, nowMs: number): boolean {
  return !part.isGone && part.staleAtMs > nowMs;
}

function areAll<T>(entries: readonly (T | null)[]): entries is readonly T[] {
  return !entries.includes(null);
}
