import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { StartRefusal } from '../common/start-refusal.js';
import { DATA_DIR_ENTRIES } from './data-dir.js';
import { SECRET_NAMES, type SecretName, drawSecret } from './generated-secrets.js';
import { type VersionedSecret, parseVersionedSecrets } from './versioned-secrets.js';

/**
 * Draws a set of secrets into a directory, a file each, mode 0600.
 *
 * @returns the lines for the environment that name the files
 * @throws StartRefusal when one of the files is there already; then nothing is written
 */
export function writeSecretFiles(directory: string): string[] {
  const files = SECRET_NAMES.map((name) => ({ name, path: join(resolve(directory), name) }));
  const there = files.filter(({ path }) => existsSync(path));
  if (there.length > 0) {
    throw new StartRefusal(
      `${there.map(({ path }) => path).join(', ')}: already there, and nothing is overwritten. Name another directory.`,
    );
  }
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  for (const { path } of files) writeFileSync(path, `${drawSecret()}\n`, { mode: 0o600, flag: 'wx' });
  return files.map(({ name, path }) => `${name}_FILE=${path}`);
}

/** The steps of a change, in order; each is followed by a restart of all replicas, one after the other. */
export const CHANGE_STEPS = ['add', 'use', 'retire'] as const;

/** One step of changing a secret. */
export type ChangeStep = (typeof CHANGE_STEPS)[number];

/**
 * Makes one step in the files of `writeSecretFiles`, or in the `secrets.json` of a `DATA_DIR`: `add` puts a new version
 * behind the others, `use` puts the newest first, `retire` removes all but the first. The file is replaced as a whole,
 * and keeps its owner and mode.
 *
 * @returns a sentence that says what is so now
 * @throws StartRefusal when the step does not apply; then nothing is written
 */
export function changeSecret(directory: string, name: SecretName, step: ChangeStep): string {
  const place = placeOf(directory, name);
  const entries = parseVersionedSecrets(place.read());
  if (entries === null) throw new StartRefusal(`${place.path} has no valid ${name}: put it back from a copy.`);
  const changed = STEPS[step](name, entries);
  place.write(changed.map(({ version, secret }) => `${version}:${secret}`).join(','));
  const [first, ...others] = changed.map(({ version }) => version);
  return `${place.path}: ${name} version ${first!} signs${others.length === 0 ? '' : `, and ${others.join(', ')} verify`}. Restart all replicas, one after the other.`;
}

const STEPS: Record<ChangeStep, (name: SecretName, entries: readonly VersionedSecret[]) => VersionedSecret[]> = {
  add: (_, entries) => [...entries, { version: nextVersion(entries), secret: drawSecret() }],
  use: (name, entries) => {
    const newest = [...entries].sort((a, b) => Number(b.version) - Number(a.version))[0]!;
    if (newest === entries[0])
      throw new StartRefusal(
        `${name} version ${newest.version} is the newest and signs already: --add a version first.`,
      );
    return [newest, ...entries.filter((one) => one !== newest)];
  },
  retire: (name, entries) => {
    if (name === 'AUDIT_KEY')
      throw new StartRefusal(
        'AUDIT_KEY keeps its old versions: older entries of the audit trail are checked with them.',
      );
    if (entries.length === 1) throw new StartRefusal(`${name} has one version, which signs: there is none to retire.`);
    return [entries[0]!];
  },
};

/** One more than the highest number among the versions. */
function nextVersion(entries: readonly VersionedSecret[]): string {
  return String(Math.max(0, ...entries.map(({ version }) => Number(version) || 0)) + 1);
}

interface Place {
  readonly path: string;
  read(): string;
  write(value: string): void;
}

function placeOf(directory: string, name: SecretName): Place {
  const json = join(resolve(directory), DATA_DIR_ENTRIES.secrets);
  const path = existsSync(json) ? json : join(resolve(directory), name);
  const text = readText(path);
  if (path !== json)
    return { path, read: () => text.replace(/\r?\n$/, ''), write: (value) => replace(path, `${value}\n`) };
  const values = JSON.parse(text) as Record<string, string>;
  return {
    path,
    read: () => values[name] ?? '',
    write: (value) => replace(path, JSON.stringify({ ...values, [name]: value }, null, 2)),
  };
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new StartRefusal(
      `${path} cannot be read (${code ?? 'unknown error'}): name the directory that holds the secrets.`,
    );
  }
}

/** Whole or not at all: a replica that starts meanwhile reads the old text or the new one. */
function replace(path: string, text: string): void {
  const { mode, uid, gid } = statSync(path);
  const draft = `${path}.unfinished`;
  rmSync(draft, { force: true });
  writeFileSync(draft, text, { mode: 0o600, flag: 'wx' });
  chmodSync(draft, mode);
  if (process.getuid?.() === 0) chownSync(draft, uid, gid);
  renameSync(draft, path);
}
