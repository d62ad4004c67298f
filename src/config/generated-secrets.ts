import { randomBytes } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { StartRefusal } from '../common/start-refusal.js';
import { DATA_DIR_ENTRIES } from './data-dir.js';
import { parseVersionedSecrets } from './versioned-secrets.js';

/** The variables that hold key material. */
export const SECRET_NAMES = ['JWT_SECRET', 'API_KEY_PEPPERS', 'TAG_KEYS', 'RESERVATION_KEY', 'AUDIT_KEY'] as const;

/** One of the variables that hold key material. */
export type SecretName = (typeof SECRET_NAMES)[number];

/** Key material in the form of its variables. */
export type GeneratedSecrets = Record<SecretName, string>;

/**
 * The secrets of an embedded installation: read from `<dataDir>/secrets.json`, or drawn and written there
 * with mode 0600. Processes that start at once agree on one set: the file appears whole, by a link that
 * only one of them can make.
 *
 * @param needed the variables that have no value yet, for the message
 * @throws StartRefusal when there is a database already, none may be drawn, or the file does not hold what is needed
 */
export function readOrCreateSecrets(
  dataDir: string,
  needed: readonly SecretName[],
  mayDraw: boolean,
): GeneratedSecrets {
  const file = join(dataDir, DATA_DIR_ENTRIES.secrets);
  const found = readSecrets(file, needed);
  if (found !== null) return found;
  if (hasCluster(dataDir)) {
    throw new StartRefusal(
      `${file} is missing, and the database beside it was made with the secrets in it (${needed.join(', ')}). Put that ` +
        'file back, or set these variables to what it held. To begin with an empty database, set DATA_DIR to an empty ' +
        'directory.',
    );
  }
  if (!mayDraw) {
    throw new StartRefusal(
      `There is no database in ${dataDir}: set DATA_DIR to where it is, or DATABASE_URL. Before a restore, put the secrets ` +
        'there: npm run restore -- --secrets <file>.',
    );
  }
  try {
    writeOnce(dataDir, file);
  } catch (error) {
    throw new StartRefusal(
      `Secrets cannot be written to ${file} (${(error as Error).message}): start as the user who owns the directory, or set ` +
        'DATA_DIR to another one.',
    );
  }
  return readSecrets(file, needed)!;
}

/** Of several processes one writes; the others find its file. */
function writeOnce(dataDir: string, file: string): void {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const draft = join(dataDir, `secrets.${process.pid}.${randomBytes(4).toString('hex')}.tmp`);
  writeFileSync(draft, JSON.stringify(drawSecrets(), null, 2), { mode: 0o600, flag: 'wx' });
  try {
    linkSync(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Five secrets of 32 random bytes, each of version `1`. */
export function drawSecrets(): GeneratedSecrets {
  return {
    JWT_SECRET: drawSecret(),
    API_KEY_PEPPERS: `1:${drawSecret()}`,
    TAG_KEYS: `1:${drawSecret()}`,
    RESERVATION_KEY: drawSecret(),
    AUDIT_KEY: drawSecret(),
  };
}

/** 32 random bytes as base64url. */
export function drawSecret(): string {
  return randomBytes(32).toString('base64url');
}

/** What the file holds; null if there is no file. */
function readSecrets(file: string, needed: readonly SecretName[]): GeneratedSecrets | null {
  let values: Partial<Record<SecretName, unknown>>;
  try {
    values = (JSON.parse(readFileSync(file, 'utf8')) ?? {}) as typeof values;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    const reason = error instanceof SyntaxError ? 'it is not JSON' : (error as Error).message;
    throw new StartRefusal(`${file} cannot be read (${reason}): put it back from a copy, or set ${needed.join(', ')}.`);
  }
  const bad = needed.filter((name) => typeof values[name] !== 'string' || parseVersionedSecrets(values[name]) === null);
  if (bad.length > 0)
    throw new StartRefusal(`${file} has no valid ${bad.join(', ')}: put it back from a copy, or set the variables.`);
  return values as GeneratedSecrets;
}

/** The secrets are drawn before the cluster is made: a cluster without them has lost them. */
function hasCluster(dataDir: string): boolean {
  return (
    existsSync(join(dataDir, DATA_DIR_ENTRIES.cluster)) || existsSync(join(dataDir, DATA_DIR_ENTRIES.clusterLocation))
  );
}
