/**
 * The console with many keys, in two builds, in pairs: from the address of the key list, and of a search in it, until
 * its rows are shown. Both builds run at once, each on a PostgreSQL of its own; one at a time is asked, the order turns
 * with every pair.
 *
 *   node --import ./test/support/register-typescript.mjs bench/console.mjs --other ../another-checkout
 *     [--keys 50000] [--pairs 15]
 *
 * Exits with 1 if this checkout takes longer than 1.2 times as long as the other in the median of the pairs.
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { launchChromium } from '../test/browser/chromium.ts';
import { median, percentile, report } from './report.mjs';
import { Latchkey } from './servers/latchkey.mjs';

const MOST = 1.2;
const PAGES = { 'the list of keys': '/keys', 'a search among them': '/keys?search=Bench' };
/** Of the 25 rows of a page. */
const SHOWN = 'table tbody tr:nth-child(25)';

const { values } = parseArgs({
  options: {
    other: { type: 'string' },
    keys: { type: 'string', default: '50000' },
    pairs: { type: 'string', default: '15' },
  },
});
if (values.other === undefined) throw new Error('Give --other: a checkout of the product that is built.');

const browser = await launchChromium();
if (browser === null) process.exit(2);
const builds = [];
try {
  builds.push(await start(), await start(resolve(values.other)));
  const rows = [];
  for (const [name, path] of Object.entries(PAGES)) rows.push(await compare(name, path));
  await report('console', rows);
  process.exitCode = rows.every(({ value }) => value <= MOST) ? 0 : 1;
} finally {
  await browser.close();
  for (const { product } of builds) await product.stop();
}

async function start(root) {
  const product = await Latchkey.start(root === undefined ? {} : { root });
  await product.seedKeys(Number(values.keys));
  await product.query('ANALYZE');
  const context = await browser.newContext({ viewport: { width: 1440, height: 860 }, locale: 'en-GB' });
  const page = await context.newPage();
  await page.goto(`http://127.0.0.1:${product.port}/console/sign-in`);
  await page.getByLabel('E-mail').fill('admin@latchkey.bench');
  await page.getByLabel('Password', { exact: true }).fill('a password for benches');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('navigation', { name: 'Main' }).waitFor();
  return { product, page };
}

async function compare(name, path) {
  for (const build of builds) await millisecondsOf(build, path);
  const pairs = [];
  for (let pair = 0; pair < Number(values.pairs); pair += 1) {
    const measured = [];
    for (const index of pair % 2 === 0 ? [0, 1] : [1, 0]) measured[index] = await millisecondsOf(builds[index], path);
    pairs.push(measured);
  }
  const ratios = pairs.map(([ours, theirs]) => ours / theirs);
  const of = (index) => Math.round(median(pairs.map((pair) => pair[index])));
  return {
    figure: `${name}, ${values.keys} keys, until 25 rows are shown`,
    value: Math.round(median(ratios) * 100) / 100,
    unit: '× the other',
    reach: `≤ ${MOST}`,
    detail: `${of(0)} ms of ${of(1)} ms; quartiles ${percentile(ratios, 0.25).toFixed(2)} and ${percentile(ratios, 0.75).toFixed(2)}`,
  };
}

async function millisecondsOf({ product, page }, path) {
  await page.goto('about:blank');
  const from = performance.now();
  await page.goto(`http://127.0.0.1:${product.port}/console${path}`);
  await page.locator(SHOWN).waitFor();
  return performance.now() - from;
}
