import { describe, expect, it } from '@jest/globals';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { alertRules, hasPromtool, promtool } from '../support/prometheus.js';
import { knownMetrics, metricsRead, problemsOf } from '../support/promql.js';

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly datasource: { readonly uid: string };
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[];
}

interface Dashboard {
  readonly uid: string;
  readonly schemaVersion: number;
  readonly templating: { readonly list: readonly { readonly name: string; readonly type: string }[] };
  readonly panels: readonly Panel[];
}

const ROOT = new URL('../../', `file://${import.meta.dirname}/`);
const FOLDER = new URL('deploy/grafana/', ROOT);
const { dashboards, textOf } = (await import(new URL('scripts/dashboards.mjs', ROOT).href)) as {
  dashboards: () => Record<string, Dashboard>;
  textOf: (one: Dashboard) => string;
};
const names = Object.keys(dashboards());
const texts = await Promise.all(names.map((name) => readFile(new URL(name, FOLDER), 'utf8')));
const all = texts.map((text) => JSON.parse(text) as Dashboard);
const expressions = all.flatMap(({ uid, panels }) =>
  panels.flatMap(({ title, targets }) => targets.map(({ expr }) => ({ where: `${uid}, ${title}`, expr }))),
);
const known = await knownMetrics();

describe('deploy/grafana', () => {
  it('is what `npm run dashboards` writes', async () => {
    expect(texts).toEqual(Object.values(dashboards()).map(textOf));
    expect((await readdir(FOLDER)).sort()).toEqual([...names].sort());
  });

  it('asks for metrics and labels that a server serves', () => {
    const problems = expressions.flatMap(({ where, expr }) =>
      problemsOf(expr, known).map((problem) => `${where}: ${problem}`),
    );
    expect(problems).toEqual([]);
    expect(expressions.length).toBeGreaterThan(40);
  });

  it('lets the reader choose the data source, the job and the replicas in every panel', () => {
    for (const { uid, templating, panels } of all) {
      expect(templating.list.map(({ name, type }) => [name, type])).toEqual([
        ['datasource', 'datasource'],
        ['job', 'query'],
        ['instance', 'query'],
      ]);
      for (const { title, datasource, targets } of panels) {
        expect([uid, title, datasource.uid]).toEqual([uid, title, '${datasource}']);
        for (const { expr } of targets) expect(expr).toContain('job=~"$job",instance=~"$instance"');
      }
    }
  });

  it('has panels that do not cover each other, and ids of their own', () => {
    expect(new Set(all.map(({ uid }) => uid)).size).toBe(all.length);
    for (const { panels } of all) {
      expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
      const places = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
        Array.from({ length: w * h }, (_, at) => `${x + (at % w)}/${y + Math.floor(at / w)}`),
      );
      expect(new Set(places).size).toBe(places.length);
      expect(panels.every(({ gridPos: { x, w } }) => x + w <= 24)).toBe(true);
    }
  });

  it('shows each metric of Latchkey, where no alert watches it', () => {
    const read = new Set([...expressions, ...alertRules()].flatMap(({ expr }) => metricsRead(expr, known)));
    const missing = known
      .map(({ name }) => name.replace(/_(bucket|count|sum)$/, ''))
      .filter((name) => name.startsWith('latchkey_') && !read.has(name))
      .map(
        (name) => `${name} is on no dashboard: add it to a panel of scripts/dashboards.mjs, then npm run dashboards`,
      );
    expect([...new Set(missing)]).toEqual([]);
  });
});

(hasPromtool() ? describe : describe.skip)('promtool', () => {
  it('takes each expression of the dashboards', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'latchkey-dashboards-'));
    const rules = expressions.map(({ expr }, at) => ({
      record: `panel:${at}`,
      expr: expr.replaceAll('$__rate_interval', '5m'),
    }));
    await writeFile(join(directory, 'rules.yaml'), JSON.stringify({ groups: [{ name: 'panels', rules }] }));
    const result = promtool(['check', 'rules', join(directory, 'rules.yaml')]);
    await rm(directory, { recursive: true });
    expect(result).toEqual({ ok: true, output: expect.stringContaining(`${rules.length} rules found`) });
  });
});
