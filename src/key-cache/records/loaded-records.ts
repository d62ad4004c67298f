import { grantsOfKey } from '../../access/grants.reader.js';
import type { KeyFacts, KeyRecord, OwnerFacts, ProjectFacts, RoleFacts, SecretFacts } from './key-record.js';

/** What one load has to find. */
export interface Wanted {
  /** Secrets made here, by kid. */
  readonly kids: readonly string[];
  /** Imported secrets, by MAC. */
  readonly macs: readonly Buffer[];
}

/** The rows of one statement: all of one snapshot, which `seq` and `epoch` date. */
export interface LoadedRows {
  /** The change head in that snapshot: every change up to it is contained. */
  readonly seq: bigint;
  readonly epoch: string;
  readonly secrets: readonly SecretFacts[];
  readonly keys: readonly KeyFacts[];
  readonly owners: readonly OwnerFacts[];
  readonly projects: readonly ProjectFacts[];
  readonly roles: readonly RoleFacts[];
}

/** One load, ready to be joined: what it answers is as true as its snapshot, whether or not a cache took it. */
export class LookupResult {
  private readonly byKid: ReadonlyMap<string, SecretFacts>;
  private readonly byMac: ReadonlyMap<string, SecretFacts>;
  private readonly keys: ReadonlyMap<string, KeyFacts>;
  private readonly owners: ReadonlyMap<string, OwnerFacts>;
  private readonly projects: ReadonlyMap<string, ProjectFacts>;
  private readonly roles: ReadonlyMap<string, RoleFacts>;

  constructor(readonly rows: LoadedRows) {
    this.byKid = new Map(rows.secrets.map((secret) => [secret.kid, secret]));
    this.byMac = new Map(
      rows.secrets.filter(({ kind }) => kind === 'imported').map((secret) => [macName(secret.mac), secret]),
    );
    this.keys = new Map(rows.keys.map((key) => [key.id, key]));
    this.owners = new Map(rows.owners.map((owner) => [owner.id, owner]));
    this.projects = new Map(rows.projects.map((project) => [project.id, project]));
    this.roles = new Map(rows.roles.map((role) => [role.name, role]));
  }

  /** The record of a secret made here, or null. */
  findByKid(kid: string): KeyRecord | null {
    const secret = this.byKid.get(kid);
    return secret?.kind === 'own' ? this.join(secret) : null;
  }

  /** The record of an imported secret under any of its possible MACs, or null. */
  findByMac(macs: readonly Buffer[]): KeyRecord | null {
    for (const mac of macs) {
      const secret = this.byMac.get(macName(mac));
      if (secret !== undefined) return this.join(secret);
    }
    return null;
  }

  /**
   * The record of a key under its newest secret that is not revoked, else under any; null when there is no such key.
   */
  findByKeyId(keyId: string): KeyRecord | null {
    const secrets = this.rows.secrets.filter((secret) => secret.keyId === keyId);
    const secret = secrets.find(({ revokedAtMs }) => revokedAtMs === null) ?? secrets[0];
    return secret === undefined ? null : this.join(secret);
  }

  /** What a key of this load may do in Latchkey. */
  grantsOf(record: KeyRecord): string[] {
    return grantsOfKey(this.granted(record.key.roles), this.granted(record.owner.roles));
  }

  private granted(names: readonly string[]): string[] {
    return names.flatMap((name) => grantsOfRole(this.roles.get(name)));
  }

  private join(secret: SecretFacts): KeyRecord | null {
    const key = this.keys.get(secret.keyId);
    const owner = key && this.owners.get(key.ownerId);
    if (key === undefined || owner === undefined) return null;
    if (key.projectId === null) return { secret, key, owner, project: null };
    const project = this.projects.get(key.projectId);
    return project === undefined ? null : { secret, key, owner, project };
  }
}

/** What a role grants right now: nothing when it is inactive or gone. */
export function grantsOfRole(role: RoleFacts | undefined): readonly string[] {
  return role?.isActive ? role.permissions : [];
}

function macName(mac: Buffer): string {
  return mac.toString('latin1');
}
