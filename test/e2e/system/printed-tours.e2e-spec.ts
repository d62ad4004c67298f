import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TestApp } from '../../support/app.js';
import { MISSING_TOOLS, takeTour } from '../../support/tour.js';

const tour = MISSING_TOOLS.length === 0 ? it : it.skip;
if (MISSING_TOOLS.length > 0) console.warn(`SKIPPED: the printed tours need ${MISSING_TOOLS.join(', ')}.`);

describe('What a page says is printed, typed literally:', () => {
  let app: TestApp;
  let directory: string;

  // Each page by itself: together they make more keys than one owner may have.
  beforeEach(async () => {
    app = await TestApp.start();
    directory = await mkdtemp(join(tmpdir(), 'latchkey-tour-'));
  });
  afterEach(async () => {
    await app.stop();
    await rm(directory, { recursive: true, force: true });
  });

  tour(
    'the tour of README.md',
    async () => {
      const readme = await readFile('README.md', 'utf8');
      const text = readme.slice(readme.indexOf('## A tour'), readme.indexOf('## The console'));
      expect(await takeTour(text, { app, directory })).toBeGreaterThan(5);
    },
    180_000,
  );

  tour(
    'docs/getting-started.md',
    async () => {
      const page = await readFile('docs/getting-started.md', 'utf8');
      expect(await takeTour(page, { app, directory })).toBeGreaterThan(8);
    },
    180_000,
  );

  tour(
    'docs/migrating.md',
    async () => {
      const page = await readFile('docs/migrating.md', 'utf8');
      expect(await takeTour(page, { app, directory })).toBe(3);
    },
    600_000,
  );

  tour(
    'docs/limits.md',
    async () => {
      const page = await readFile('docs/limits.md', 'utf8');
      expect(await takeTour(page, { app, directory })).toBeGreaterThan(8);
    },
    120_000,
  );
});
