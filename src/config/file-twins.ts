import { readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { StartRefusal } from '../common/start-refusal.js';
import { SECRET_NAMES } from './generated-secrets.js';

/**
 * Variables that may be given as a file: `NAME_FILE` is its path. What they hold should not be seen in a process list.
 */
export const FILE_TWINS = [
  ...SECRET_NAMES,
  'ADMIN_PASSWORD',
  'OIDC_CLIENT_SECRET',
  'METRICS_TOKEN',
  'TRACES_HEADERS',
  'DATABASE_URL',
  'DATABASE_MIGRATION_URL',
] as const;

/**
 * The variables with those of `FILE_TWINS` read from their files. One newline at the end of a file is cut, because
 * editors and `echo` write it.
 *
 * @throws StartRefusal naming every twin that is given twice, cannot be read, or is empty
 */
export function withFileTwins(variables: Readonly<Record<string, string>>): Record<string, string> {
  const result = { ...variables };
  const refused: string[] = [];
  for (const name of FILE_TWINS) {
    const path = variables[`${name}_FILE`];
    if (path === undefined) continue;
    if (variables[name] !== undefined) {
      refused.push(`${name} and ${name}_FILE are both set: remove one of them`);
      continue;
    }
    try {
      result[name] = readFileSync(path, 'utf8').replace(/\r?\n$/, '');
      if (result[name] === '') refused.push(`${name}_FILE names an empty file: write the value into it`);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      refused.push(`${name}_FILE cannot be read (${code ?? 'unknown error'}): check its path and permissions`);
    }
  }
  if (refused.length > 0) throw new StartRefusal(refused.join('\n'));
  return result;
}

/**
 * Variables of `FILE_TWINS` whose value is in the environment itself, where other processes of the machine may see it.
 */
export function secretsInEnvironment(env: NodeJS.ProcessEnv = process.env): string[] {
  return FILE_TWINS.filter((name) => (env[name] ?? '') !== '');
}

/** Variables of `FILE_TWINS` whose files every account of the machine can read. */
export function secretFilesForAll(env: NodeJS.ProcessEnv = process.env): string[] {
  return FILE_TWINS.filter((name) => {
    const path = env[`${name}_FILE`] ?? '';
    return path !== '' && isOpenToAll(path);
  }).map((name) => `${name}_FILE`);
}

/** A file that others may read, in directories that they may enter. */
function isOpenToAll(path: string): boolean {
  const file = realpathSync(path);
  if ((statSync(file).mode & 0o004) === 0) return false;
  for (let place = dirname(file); ; place = dirname(place)) {
    if ((statSync(place).mode & 0o001) === 0) return false;
    if (place === dirname(place)) return true;
  }
}
