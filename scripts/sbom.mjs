/** `npm run sbom`: writes docs/sbom.txt, the packages that package-lock.json names. It reads nothing but the lock. */
import { readFile, writeFile } from 'node:fs/promises';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';

const LOCK = new URL('../package-lock.json', import.meta.url);
const LIST = new URL('../docs/sbom.txt', import.meta.url);

/** Enough of a checksum to see that it changed; the lock has all of it. */
const CHECKSUM_CHARACTERS = 24;

/**
 * The packages of a lock, each version once, in order of their names.
 *
 * @returns {{ name: string, version: string, licence: string, use: 'run' | 'dev', checksum: string }[]}
 */
export function packagesOf(lock) {
  const found = new Map();
  for (const [path, entry] of Object.entries(lock.packages)) {
    const at = path.lastIndexOf('node_modules/');
    if (at < 0 || entry.link) continue;
    const name = entry.name ?? path.slice(at + 'node_modules/'.length);
    const id = `${name} ${entry.version}`;
    const use = entry.dev || found.get(id)?.use === 'run' ? (found.get(id)?.use ?? 'dev') : 'run';
    const checksum = entry.integrity?.slice(0, CHECKSUM_CHARACTERS) ?? 'none';
    found.set(id, {
      name,
      version: entry.version,
      licence: (entry.license ?? 'unstated').replaceAll(' ', '_'),
      use,
      checksum,
    });
  }
  return [...found.values()].sort((a, b) => (`${a.name} ${a.version}` < `${b.name} ${b.version}` ? -1 : 1));
}

/** The checked-in list: its diff shows a reviewer what a change of the lock brings in. */
export function listOf(lock) {
  const lines = packagesOf(lock).map(
    ({ name, version, use, licence, checksum }) => `${name} ${version} ${use} ${licence} ${checksum}`,
  );
  return ['# name version use licence checksum: made by `npm run sbom`, see docs/dependencies.md', ...lines, ''].join(
    '\n',
  );
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  await writeFile(LIST, listOf(JSON.parse(await readFile(LOCK, 'utf8'))));
}
