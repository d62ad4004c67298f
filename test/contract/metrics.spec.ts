import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { readFile, writeFile } from 'node:fs/promises';
import type { DataSource } from 'typeorm';
import { createApp } from '../../src/server/app.setup.js';
import { Metrics } from '../../src/common/metrics.js';
import { dataSource } from '../../src/database/data-source.js';
import { entities } from '../../src/server/entities.js';
import { testConfig } from '../support/app.js';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { alertRules } from '../support/prometheus.js';
import { selectorsOf } from '../support/promql.js';

const PAGE = new URL('../../docs/metrics.md', `file://${import.meta.dirname}/`);

const UNITS: readonly [RegExp, string][] = [
  [/_seconds(_total)?$/, 'seconds'],
  [/_bytes$/, 'bytes'],
  [/_cents_total$/, 'cents'],
  [/_down$/, '0 or 1'],
  [/_seq$/, 'sequence number'],
  [/_info$/, '1'],
];

/** A metric as the registry knows it. */
interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram' | 'summary';
  readonly labelNames?: readonly string[];
}

describe('docs/metrics.md', () => {
  let database: TestDatabase;
  let pool: DataSource;
  let app: NestFastifyApplication;
  let metrics: Metric[];

  beforeAll(async () => {
    database = await createTestDatabase();
    pool = await dataSource(database.appUrl, { max: 3, entities }).initialize();
    app = await createApp(testConfig(), pool, { embedded: { isDown: false, restarts: 0 } });
    metrics = app.get(Metrics).registry.getMetricsAsArray() as unknown as Metric[];
    if (process.env['UPDATE_CONTRACT'] === '1') await writeFile(PAGE, update(await readFile(PAGE, 'utf8'), metrics));
  });
  afterAll(async () => {
    await app.close();
    await pool.destroy();
    await database.drop();
  });

  it('names every metric with its type, its labels, its unit and what it means, and no other', async () => {
    const page = await readFile(PAGE, 'utf8');
    expect(page).toBe(update(page, metrics));
    expect(metrics.length).toBeGreaterThan(40);
  });

  it('is of metrics whose names say what they are', () => {
    const ours = metrics.filter(({ name }) => name.startsWith('latchkey_'));
    expect(
      ours.filter(({ name, type }) => (type === 'counter') !== name.endsWith('_total')).map(({ name }) => name),
    ).toEqual([]);
    expect(
      ours.filter(({ name, type }) => type === 'histogram' && !name.endsWith('_seconds')).map(({ name }) => name),
    ).toEqual([]);
    expect(ours.filter(({ name }) => /_(count|pending|waiting|under_way)$/.test(name)).map(({ name }) => name)).toEqual(
      [],
    );
    expect(ours.filter(({ help }) => !/^[A-Z0-9].*[.]$/.test(help)).map(({ name, help }) => [name, help])).toEqual([]);
  });

  it('has a series of each counter that an alert watches before it first counts', async () => {
    // A series that begins at 1 has no increase: its first event would alert nobody.
    const watched = new Set(alertRules().flatMap(({ expr }) => selectorsOf(expr).map(({ metric }) => metric)));
    const counters = metrics.filter(({ name, type }) => type === 'counter' && watched.has(name));
    const text = await app.get(Metrics).registry.metrics();
    const without = counters.filter(({ name }) => !new RegExp(`^${name}[ {]`, 'm').test(text)).map(({ name }) => name);
    expect(without.map((name) => `${name} has no series yet: count 0 of each label in the constructor`)).toEqual([]);
    expect(counters.length).toBeGreaterThan(5);
  });
});

/** The page with the tables as they should be. */
function update(page: string, metrics: readonly Metric[]): string {
  const sorted = [...metrics].sort((one, other) => (one.name < other.name ? -1 : 1));
  const ours = sorted.filter(({ name }) => name.startsWith('latchkey_'));
  const others = sorted.filter(({ name }) => !name.startsWith('latchkey_'));
  return withTable(withTable(page, 'latchkey', ours), 'process', others);
}

function withTable(page: string, mark: string, metrics: readonly Metric[]): string {
  const table = ['| metric | type | labels | unit | meaning |', '|---|---|---|---|---|', ...metrics.map(rowOf)].join(
    '\n',
  );
  const begin = `<!-- ${mark} -->\n`;
  const at = page.indexOf(begin) + begin.length;
  return page.slice(0, at) + table + page.slice(at).replace(/^(\|[^\n]*\n)*/, '\n');
}

function rowOf({ name, type, help, labelNames = [] }: Metric): string {
  const unit = UNITS.find(([pattern]) => pattern.test(name))?.[1] ?? 'count';
  const labels = [...labelNames].map((label) => `\`${label}\``).join(', ');
  return `| \`${name}\` | ${type} | ${labels} | ${unit} | ${help.replaceAll('|', '\\|')} |`;
}
