import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RouteAccess } from '../../src/access/route-access.js';
import { CHANGE_KINDS } from '../proofs/changes/kinds.js';
import { SCENARIOS } from '../proofs/changes/scenarios.js';
import { experiments } from '../proofs/experiments.js';
import { TestApp } from '../support/app.js';

const ROOT = join(import.meta.dirname, '../..');
const FAULTS = join(ROOT, 'test/proofs/faults');

/** Changes nothing of the management plane. @see audit-coverage.spec.ts */
const isChange = (method: string, isRead: boolean | undefined) => method !== 'GET' && isRead !== true;

describe('The experiments', () => {
  const page = readFileSync(join(ROOT, 'docs/guarantees.md'), 'utf8');
  const [guarantees, others] = page.split('\n## Fault injection\n') as [string, string];
  const faults = others.split('\n## ')[0]!;
  const rowsOf = (text: string) => [...text.matchAll(/^\| ([A-Z]\d+[a-z]?) \|/gm)].map(([, id]) => id!);
  const ids = experiments.map(({ id }) => id);
  const patches = experiments.flatMap(({ fault }) =>
    fault === 'mutants' || fault.patch === undefined ? [] : [fault.patch],
  );

  it('have an id each', () => {
    expect(ids).toEqual([...new Set(ids)]);
  });

  it('are all in the list that is run, and so is each row of faults', () => {
    const files = readdirSync(join(ROOT, 'test/proofs/experiments')).map((name) => name.split('-')[0]!);
    expect(files.sort()).toEqual(ids.map((id) => id.toLowerCase()).sort());
    expect(rowsOf(faults).filter((id) => !ids.includes(id))).toEqual([]);
  });

  it('have a row of what they guarantee', () => {
    expect(ids.filter((id) => !rowsOf(guarantees).includes(id))).toEqual([]);
  });

  it('have a row of the fault that they have noticed, unless they are made of mutants', () => {
    const wanted = experiments.filter(({ fault }) => fault !== 'mutants').map(({ id }) => id);
    expect(wanted.filter((id) => !rowsOf(faults).includes(id))).toEqual([]);
  });

  it('break the product by a module or by SQL', () => {
    const harmless = experiments.filter(
      ({ fault }) => fault !== 'mutants' && fault.patch === undefined && fault.sql === undefined,
    );
    expect(harmless.map(({ id }) => id)).toEqual([]);
  });

  it('use every fault that there is', () => {
    // What makes every load slow is bad luck, and no fault.
    expect(readdirSync(FAULTS).filter((name) => !patches.includes(name))).toEqual(['slow-loads.mjs']);
  });

  it.each(readdirSync(FAULTS))('replace what the product has: %s', (name) => {
    const text = readFileSync(join(FAULTS, name), 'utf8');
    const sources = [...text.matchAll(/^import \{([^}]+)\} from '\.\.\/\.\.\/\.\.\/dist\/(src\/[^']+)\.js';/gm)];
    const fileOf = new Map(
      sources.flatMap(([, names, path]) =>
        names!.split(',').map((one) => [one.trim(), readFileSync(join(ROOT, `${path}.ts`), 'utf8')] as const),
      ),
    );
    for (const [, className, method] of text.matchAll(/^(\w+)\.prototype\.(\w+) = /gm)) {
      const source = fileOf.get(className!);
      // Of Node or of a library.
      if (source === undefined) continue;
      expect([
        className,
        method,
        new RegExp(`^  (?:(?:private|protected|async|override) )*${method}(?:<[^(]*>)?\\(`, 'm').test(source),
      ]).toEqual([className, method, true]);
    }
  });
});

describe('G14', () => {
  let app: TestApp;

  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  it('knows every route that changes something, and no other', () => {
    const routes = app.app.get(RouteAccess, { strict: false }).routes();
    const changing = routes.filter(({ method, audited }) => audited !== undefined && isChange(method, audited.isRead));
    expect([...CHANGE_KINDS].sort()).toEqual(changing.map(({ method, path }) => `${method} ${path}`).sort());
  });

  it('has a scenario for every kind of change', () => {
    const steps = SCENARIOS.flatMap((scenario) =>
      scenario({ name: 'x', adminToken: '', adminId: '', otherOwnerId: '' }),
    );
    expect([...new Set(steps.map(({ kind }) => kind))].sort()).toEqual([...CHANGE_KINDS].sort());
  });
});
