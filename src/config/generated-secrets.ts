import { randomBytes } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The variables that hold key material. */
export const SECRET_NAMES = ['JWT_SECRET', 'API_KEY_PEPPERS', 'TAG_KEYS', 'RESERVATION_KEY', 'AUDIT_KEY'] as const;

/** Key material in the form of its variables. */
export type GeneratedSecrets = Record<(typeof SECRET_NAMES)[number], string>;

/**
 * The secrets of an embedded installation: read from `<dataDir>/secrets.json`, or drawn and written there
 * with mode 0600. Processes that start at once agree on one set: the file appears whole, by a link that
 * only one of them can make.
 */
export function readOrCreateSecrets(dataDir: string): GeneratedSecrets {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const file = join(dataDir, 'secrets.json');
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as GeneratedSecrets;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const draft = join(dataDir, `secrets.${process.pid}.${randomBytes(4).toString('hex')}.tmp`);
  writeFileSync(draft, JSON.stringify(drawSecrets(), null, 2), { mode: 0o600, flag: 'wx' });
  try {
    linkSync(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(draft, { force: true });
  }
  return JSON.parse(readFileSync(file, 'utf8')) as GeneratedSecrets;
}

function drawSecrets(): GeneratedSecrets {
  const draw = () => randomBytes(32).toString('base64url');
  return {
    JWT_SECRET: draw(),
    API_KEY_PEPPERS: `1:${draw()}`,
    TAG_KEYS: `1:${draw()}`,
    RESERVATION_KEY: draw(),
    AUDIT_KEY: draw(),
  };
}
