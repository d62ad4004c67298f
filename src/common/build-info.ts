import { readFileSync } from 'node:fs';

/** Which build of this server runs. */
export interface BuildInfo {
  /** Of the package. */
  readonly version: string;
  /** The git commit the build was made from, with `-dirty` behind it where files were changed; null: not recorded. */
  readonly commit: string | null;
}

let known: BuildInfo | undefined;

/**
 * Reads the package's version and what the build recorded in `build.json`, from the sources as well as from the build.
 */
export function buildInfo(): BuildInfo {
  return (known ??= find());
}

/** The version and, where it is known, the commit: `0.1.0 (3f2a9c1d40b7)`. */
export function describeBuild({ version, commit }: BuildInfo): string {
  return commit === null ? version : `${version} (${commit})`;
}

function find(): BuildInfo {
  let commit: string | null = null;
  for (let folder = new URL('.', import.meta.url); folder.pathname !== '/'; folder = new URL('..', folder)) {
    commit ??= read<{ commit?: string }>(new URL('build.json', folder))?.commit ?? null;
    const manifest = read<{ name?: string; version?: string }>(new URL('package.json', folder));
    if (manifest?.name === 'latchkey' && manifest.version) return { version: manifest.version, commit };
  }
  throw new Error('The package.json of this server is missing.');
}

function read<T>(file: URL): T | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as T;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
