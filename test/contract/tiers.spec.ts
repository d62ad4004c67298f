import { describe, expect, it } from '@jest/globals';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  DIVIDED,
  foldersWith,
  groupsFor,
  isFileInTier,
  ofTier,
  ON_OLDEST,
  SLOW_GROUPS,
  slowGroupsOf,
} from '../tiers.mjs';

const ROOT = join(import.meta.dirname, '../..');
const filesBelow = (folder: string) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((file) => `${folder}/${file}`);
const specs = [...filesBelow('test'), ...filesBelow('src')].filter((file) => file.endsWith('spec.ts'));

describe('The tiers of the tests', () => {
  it('name files and folders that exist', () => {
    const named = SLOW_GROUPS.flatMap(({ tests, keeps, sources }) => [...tests, ...keeps, ...sources]);
    expect(named.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });

  it('leave none of a group without a test', () => {
    const held = new Set(specs.flatMap(slowGroupsOf));
    expect(SLOW_GROUPS.map(({ name }) => name).filter((name) => !held.has(name))).toEqual([]);
  });

  it('keep only files that their group would leave out', () => {
    for (const { tests, keeps } of SLOW_GROUPS)
      expect(keeps.filter((file) => !tests.some((test) => file.startsWith(test)))).toEqual([]);
  });

  it('hold each file once, but for those that divide their own tests', () => {
    const twice = specs.filter((file) => isFileInTier(file, 'quick') && isFileInTier(file, 'rest'));
    expect(specs.filter((file) => !isFileInTier(file, 'quick') && !isFileInTier(file, 'rest'))).toEqual([]);
    expect(twice.sort()).toEqual([...DIVIDED].sort());
  });

  it('ask the oldest PostgreSQL of files that exist, and leave out only what is in their folders', () => {
    const { tests, leaves } = ON_OLDEST;
    expect([...tests, ...leaves].filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
    expect(leaves.filter((file) => !tests.some((test) => file.startsWith(test)))).toEqual([]);
    const asked = specs.filter((file) => isFileInTier(file, 'oldest'));
    expect(tests.filter((test) => !asked.some((file) => file.startsWith(test)))).toEqual([]);
    expect(asked.filter((file) => leaves.includes(file) || !tests.some((test) => file.startsWith(test)))).toEqual([]);
  });

  it('have both what divides its tests, and nothing else', () => {
    const divides = (file: string) =>
      /\bimport \{ (?:itNotices|itHoldsOverSeeds) \}/.test(readFileSync(join(ROOT, file), 'utf8'));
    const simulations = specs.filter((file) => /^test\/simulation\/.*(?:mutants|simulation)\.spec\.ts$/.test(file));
    expect(specs.filter(divides).sort()).toEqual([...DIVIDED].sort());
    expect(simulations.sort()).toEqual([...DIVIDED].sort());
  });

  it('load folders together of which the first alone has a suite', () => {
    const folders = new Set(specs.map((file) => dirname(file).replace(/^test\//, '')));
    const together = [...folders].filter((folder) => foldersWith(folder).length > 1);
    expect(together.length).toBeGreaterThan(0);
    for (const folder of together) {
      expect(foldersWith(folder).filter((one) => !folders.has(one))).toEqual([]);
      expect([folder, existsSync(join(ROOT, 'test', folder, 'all.suite.ts'))]).toEqual([
        folder,
        folder === foldersWith(folder)[0],
      ]);
    }
  });

  it('divide a list of equal tests into the first ones and the others', () => {
    const list = [1, 2, 3];
    expect(['quick', 'rest', 'all'].map((tier) => ofTier(list, 1, tier))).toEqual([[1], [2, 3], list]);
    expect(['quick', 'rest', 'all'].map((tier) => ofTier(list, 2, tier))).toEqual([[1, 2], [3], list]);
  });

  it('are selected by the sources they test', () => {
    expect(groupsFor(['CONTRIBUTING.md', 'src/limits/limit-rules.ts'])).toEqual([]);
    expect(groupsFor(['src/quotas/lease.ts'])).toEqual(['waits', 'simulations']);
    expect(groupsFor(['console/src/main.tsx'])).toContain('browser');
    expect(groupsFor(['docs/getting-started.md'])).toEqual(['processes']);
    expect(groupsFor(['test/gateways/nginx.spec.ts'])).toContain('gateways');
    expect(isFileInTier('test/gateways/nginx.spec.ts', 'quick,gateways')).toBe(true);
    expect(isFileInTier('test/browser/screens.spec.ts', 'quick,gateways')).toBe(false);
  });
});
