import { describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';

interface Package {
  readonly name: string;
  readonly version: string;
  readonly licence: string;
  readonly use: 'run' | 'dev';
  readonly checksum: string;
}

const root = new URL('../../', `file://${import.meta.dirname}/`);
const { listOf, packagesOf } = (await import(new URL('scripts/sbom.mjs', root).href)) as {
  listOf: (lock: unknown) => string;
  packagesOf: (lock: unknown) => Package[];
};
const { judge } = (await import(new URL('scripts/advisories.mjs', root).href)) as {
  judge: (text: string, lock: unknown) => { lines: string[]; exitCode: number };
};
const lock = JSON.parse(await readFile(new URL('package-lock.json', root), 'utf8')) as {
  packages: Record<string, object>;
};
const packages = packagesOf(lock);

/** Licences under which a package may be used and passed on without conditions for our own code. */
const LICENCES =
  /^\(?(MIT|ISC|0BSD|Apache-2\.0|BSD-[23]-Clause|BlueOak-1\.0\.0|CC0-1\.0|Python-2\.0|Unlicense)((_AND_|_OR_)(MIT|ISC|Apache-2\.0|BSD-3-Clause|CC0-1\.0))*\)?$/;

/** Others, each with the reason why it may be there. */
const OTHER_LICENCES: Record<string, string> = {
  'axe-core': 'MPL-2.0, tests only, not changed',
  'caniuse-lite': 'CC-BY-4.0, data of the build',
  'passport-strategy': 'MIT, which its package.json writes in the old form `licenses`',
  pause: 'MIT, as passport-strategy',
};

describe('docs/sbom.txt', () => {
  it('is what package-lock.json names: run `npm run sbom` and look at the diff', async () => {
    expect(await readFile(new URL('docs/sbom.txt', root), 'utf8')).toBe(listOf(lock));
  });

  it('changes with a version, a checksum and a licence', () => {
    const [path, entry] = Object.entries(lock.packages).find(([name]) => name === 'node_modules/pg')!;
    for (const change of [{ version: '0.0.1' }, { integrity: 'sha512-another-checksum' }, { license: 'AGPL-3.0' }]) {
      expect(listOf({ packages: { ...lock.packages, [path]: { ...entry, ...change } } })).not.toBe(listOf(lock));
    }
    expect(packages.length).toBeGreaterThan(300);
  });

  it('has a checksum of every package', () => {
    expect(packages.filter(({ checksum }) => checksum === 'none')).toEqual([]);
  });

  it('has no licence that nobody has looked at', () => {
    const isKnown = ({ name, licence }: Package) =>
      LICENCES.test(licence) || name in OTHER_LICENCES || (licence === 'MPL-2.0' && name.startsWith('lightningcss'));
    expect(packages.filter((one) => !isKnown(one)).map(({ name, licence }) => `${name} ${licence}`)).toEqual([]);
  });
});

describe('npm run advisories', () => {
  const advisory = (name: string, path: string) => ({
    name,
    severity: 'high',
    range: '<2',
    nodes: [path],
    via: [{ title: 'A flaw', url: 'https://advisories.test/1' }],
  });
  const report = (...all: ReturnType<typeof advisory>[]) =>
    JSON.stringify({ vulnerabilities: Object.fromEntries(all.map((one) => [one.name, one])) });

  it('fails for a package that runs in production, and not for one of the development', () => {
    expect(judge(report(advisory('pg', 'node_modules/pg'), advisory('jest', 'node_modules/jest')), lock)).toEqual({
      exitCode: 1,
      lines: [
        'RUNS  high  pg <2  A flaw (https://advisories.test/1)',
        'dev   high  jest <2  A flaw (https://advisories.test/1)',
        '1 of 2 packages with an advisory run in production.',
      ],
    });
    expect(judge(report(advisory('jest', 'node_modules/jest')), lock).exitCode).toBe(0);
    expect(judge(report(), lock)).toEqual({ exitCode: 0, lines: ['No package of package-lock.json has an advisory.'] });
  });

  it.each(['', 'not JSON', '{"error":{"summary":"request failed"}}', '{"message":"no such route"}'])(
    'knows nothing when the registry does not answer: %s',
    (text) => {
      const { exitCode, lines } = judge(text, lock);
      expect(exitCode).toBe(2);
      expect(lines[0]).toMatch(/^The registry could not be asked for advisories \(.+\)\. Nothing is known/);
    },
  );
});
