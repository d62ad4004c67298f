import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser, Page, Request } from 'playwright-core';
import type { TestApp } from '../support/app.js';
import { asOwner } from '../support/trail.js';
import { launchChromium } from './chromium.js';
import { type ConsoleInUse, startConsoleInUse } from './console-in-use.js';
import { ConsoleSession } from './console-session.js';
import { XSS, type SampleData } from './sample-data.js';

/** More keys than the list counts exactly, and than any page could draw. */
const MANY_KEYS = 20_000;

const browser: Browser | null = await launchChromium();
const inBrowser = browser === null ? describe.skip : describe;

/** What holds on every page, whatever is on it. */
inBrowser('the console', () => {
  let app: TestApp;
  let inUse: ConsoleInUse;
  let session: ConsoleSession;
  let page: Page;
  let token: string;
  let data: SampleData;

  beforeAll(async () => {
    inUse = await startConsoleInUse(browser!);
    ({ app, session, data } = inUse);
    page = session.page;
    token = await app.adminToken();
    await session.signIn();
  });
  afterAll(() => inUse.stop());

  const requestsDuring = async (work: () => Promise<unknown>, which: (request: Request) => boolean = () => true) => {
    const seen: string[] = [];
    const note = (request: Request) => {
      const { pathname, search } = new URL(request.url());
      if (pathname.startsWith('/api/') && which(request)) seen.push(`${request.method()} ${pathname}${search}`);
    };
    page.on('request', note);
    await work();
    page.off('request', note);
    return seen;
  };
  const focused = () =>
    page.evaluate(() => {
      const element = document.activeElement as HTMLElement | null;
      return element?.getAttribute('aria-label') ?? element?.innerText.trim() ?? '';
    });
  /** Presses Tab until the element of this name has the focus. */
  const tabTo = async (name: string, most = 60) => {
    for (let press = 0; press < most; press += 1) {
      await page.keyboard.press('Tab');
      if ((await focused()) === name) return;
    }
    throw new Error(`Tab does not reach “${name}”; it is at “${await focused()}”.`);
  };

  it('is drawn where the browser tells the language of a system, which is no language tag', async () => {
    const odd = await ConsoleSession.open(browser!, app);
    await odd.context.addInitScript(() =>
      Object.defineProperty(navigator, 'languages', { get: () => ['en-US@posix', 'c'] }),
    );
    await odd.goto('/sign-in');
    await odd.page.getByLabel('E-mail').waitFor();
    expect(odd.errors).toEqual([]);
    await odd.context.close();
  });

  describe('by keyboard', () => {
    it('goes past the navigation, opens a row’s menu, its dialog, and gives the focus back', async () => {
      await session.goto('/keys?search=Support');
      await page.getByRole('link', { name: 'Support bot' }).waitFor();
      await page.keyboard.press('Tab');
      expect(await focused()).toBe('Skip to the content');
      await page.keyboard.press('Enter');
      await tabTo('Actions on Support bot');
      const outline = await page.evaluate(() => getComputedStyle(document.activeElement!).outlineStyle);
      expect(outline).not.toBe('none');
      await page.keyboard.press('Enter');
      await page.getByRole('menuitem', { name: 'Edit' }).waitFor();
      // It is drawn before it has the focus, and Escape is for who has that.
      await page.waitForFunction(() => document.activeElement?.closest('[role="menu"]'));
      await page.keyboard.press('Escape');
      await page.getByRole('menuitem', { name: 'Edit' }).waitFor({ state: 'hidden' });
      await page.waitForFunction(() => document.activeElement?.getAttribute('aria-label') === 'Actions on Support bot');
      await page.keyboard.press('Enter');
      await page.getByRole('menuitem', { name: 'Deactivate' }).waitFor();
      for (let press = 0; press < 10 && (await focused()) !== 'Deactivate'; press += 1)
        await page.keyboard.press('ArrowDown');
      await page.keyboard.press('Enter');
      await page.getByRole('dialog').getByText('Deactivate Support bot?').waitFor();
      // The focus is inside, and stays there.
      await page.waitForFunction(() => document.activeElement?.closest('[role="dialog"]'));
      for (let press = 0; press < 6; press += 1) {
        await page.keyboard.press('Tab');
        expect(await page.evaluate(() => document.activeElement?.closest('[role="dialog"]') !== null)).toBe(true);
      }
      await page.keyboard.press('Escape');
      await page.getByRole('dialog').waitFor({ state: 'hidden' });
      await page.waitForFunction(() => document.activeElement?.getAttribute('aria-label') === 'Actions on Support bot');
      const { body } = await app.get('/api-keys?search=Support', { token });
      expect(body.data[0].status).toBe('active');
    });

    it('chooses rows, and acts on them, with Space and Enter', async () => {
      await session.goto('/keys?search=Support');
      await page.getByRole('link', { name: 'Support bot' }).waitFor();
      await page.getByLabel('Select all keys on this page').focus();
      await page.keyboard.press('Space');
      await page.getByText('1 selected').waitFor();
      await page.getByRole('button', { name: 'Deactivate', exact: true }).focus();
      await page.keyboard.press('Enter');
      await page.getByRole('button', { name: 'See what would change' }).focus();
      await page.keyboard.press('Enter');
      await page.getByRole('button', { name: 'Deactivate 1 key' }).focus();
      await page.keyboard.press('Enter');
      await page.getByRole('cell', { name: 'inactive' }).waitFor();
    });

    it('signs in with Enter, and walks every place of the navigation in its order', async () => {
      const links = page.getByRole('navigation', { name: 'Main' }).getByRole('link');
      const names = await links.allTextContents();
      await links.first().focus();
      for (const name of names.slice(1)) {
        await page.keyboard.press('Tab');
        expect(await focused()).toBe(name);
      }
    });
  });

  describe('with what people write', () => {
    it('shows names, reasons, descriptions and values that are HTML as text', async () => {
      await app.post('/users', { token, body: { name: XSS, email: 'xss@example.com', roles: [] } });
      await app.post('/roles', { token, body: { name: 'xss', description: XSS, permissions: [] } });
      const [evil] = (await app.get('/api-keys?search=onerror', { token })).body.data as { id: string }[];
      const [revoked] = (await app.get('/api-keys?search=importer', { token })).body.data as { id: string }[];
      for (const path of [
        '/keys?search=onerror',
        `/keys/${evil!.id}`,
        `/keys/${evil!.id}?tab=settings`,
        `/keys/${evil!.id}/edit`,
        `/keys/${revoked!.id}`,
        '/people',
        '/roles',
        '/hygiene',
      ]) {
        await session.goto(path);
        await page.getByText('onerror').or(page.locator(`input[value*="onerror"], textarea`)).first().waitFor();
      }
      await session.goto(`/keys/${evil!.id}?tab=history`);
      await page.getByRole('row').filter({ hasText: 'Create key' }).first().getByRole('button').click();
      await page.getByRole('table', { name: 'What changed' }).getByText('onerror').first().waitFor();
      expect(await page.evaluate(() => 'hacked' in window)).toBe(false);
      expect(await page.locator('img[src="x"]').count()).toBe(0);
    });

    it('runs no script that the server did not serve', async () => {
      const policy = (await fetch(`${app.config.publicUrl}/console/keys`)).headers.get('content-security-policy') ?? '';
      expect(policy).toMatch(/script-src 'self';/);
      const blocked = await page.evaluate(
        () =>
          new Promise<string>((resolve) => {
            document.addEventListener('securitypolicyviolation', (event) => resolve(event.effectiveDirective), {
              once: true,
            });
            const script = document.createElement('script');
            script.textContent = 'window.hacked = 1';
            document.body.append(script);
          }),
      );
      expect(blocked).toMatch(/^script-src/);
      expect(await page.evaluate(() => 'hacked' in window)).toBe(false);
      session.errors.length = 0;
    });
  });

  describe('with secrets', () => {
    it('keeps them out of address, history, storage, title, log and what other pages show', async () => {
      const logged: string[] = [];
      page.on('console', (message) => logged.push(message.text()));
      const asked: string[] = [];
      page.on('request', (request) => asked.push(request.url()));
      await session.goto('/keys/new');
      await page.getByLabel('Name').fill('Secretive');
      const posts = await requestsDuring(
        () => page.getByRole('button', { name: 'Create key' }).dblclick(),
        (request) => request.method() === 'POST',
      );
      const secret = (await page.getByTestId('secret').textContent()) ?? '';
      expect(secret).toMatch(/^lk_live_/);
      expect(posts).toHaveLength(1);
      // Esc and a click beside it do not lose it.
      await page.keyboard.press('Escape');
      await page.mouse.click(5, 5);
      expect(await page.getByTestId('secret').count()).toBe(1);
      await page.getByLabel('I have stored the secret in a safe place').check();
      await page.getByRole('button', { name: 'Done' }).click();
      await page.getByRole('heading', { name: 'Secretive' }).waitFor();
      // Of a secret in the search field its public start alone is sent.
      await session.goto('/keys');
      await page.getByLabel('Search in name, description, alias and key prefix').fill(secret);
      await page.getByText('Only the public start of the secret').waitFor();
      await page.waitForTimeout(400);
      const kept = await page.evaluate(() =>
        [
          location.href,
          document.title,
          document.cookie,
          JSON.stringify({ ...localStorage }),
          JSON.stringify({ ...sessionStorage }),
          JSON.stringify(history.state),
        ].join(' '),
      );
      expect(`${kept} ${logged.join(' ')} ${asked.join(' ')}`).not.toContain(secret);
    });
  });

  describe('left open', () => {
    it('asks nothing that the trail records, until told to', async () => {
      await page.clock.install();
      for (const path of ['', `/keys/${data.keyId}`, '/hygiene', '/audit']) {
        await session.goto(path);
        await page.getByRole('heading', { level: 1 }).waitFor();
        await session.settle();
        const seen = await requestsDuring(async () => {
          await page.clock.fastForward('10:00');
          await page.waitForTimeout(300);
        });
        expect(seen.filter((request) => request !== 'GET /api/v1/auth/me')).toEqual([]);
      }
      await session.goto(`/keys/${data.keyId}`);
      await page.getByLabel('Live').check();
      const live = await requestsDuring(async () => {
        await Promise.all([page.waitForRequest(/\/usage$/), page.clock.fastForward(6_000)]);
      });
      expect(live).toContain(`GET /api/v1/api-keys/${data.keyId}/usage`);
      await page.clock.resume();
    });
  });

  describe('where something is missing', () => {
    it('shows that it is loading, that the server is away, and the data once it is back', async () => {
      let isAway = true;
      await page.route('**/api/v1/api-keys?**', async (route) => {
        await new Promise((resolve) => setTimeout(resolve, 150));
        return isAway ? route.abort('connectionrefused') : route.continue();
      });
      await session.goto('/keys');
      await page.getByRole('status', { name: 'Loading' }).waitFor();
      await page.getByText('The server does not answer.').waitFor();
      isAway = false;
      await page.getByRole('button', { name: 'Try again' }).click();
      await page.getByRole('link', { name: 'Support bot' }).waitFor();
      await page.unroute('**/api/v1/api-keys?**');
    });

    it('says that a key or a page does not exist, and that a filter matches nothing', async () => {
      await session.goto('/keys/019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e00');
      await page.getByText('There is no such API key.').waitFor();
      await session.goto('/nowhere');
      await page.getByText('There is no such page').waitFor();
      await session.goto('/keys?search=nothing-like-this');
      await page.getByText('No key matches these filters').waitFor();
      await page.getByRole('button', { name: 'Clear the filters' }).last().click();
      await page.getByRole('link', { name: 'Support bot' }).waitFor();
    });
  });

  describe(`with ${MANY_KEYS} keys`, () => {
    beforeAll(async () => {
      // As creates leave them, but at once: more than the application's connections have time for.
      await asOwner(app.database, async (client) => {
        const { rows } = await client.query<{ name: string }>(
          `SELECT attname AS name FROM pg_attribute WHERE attrelid = 'api_key'::regclass AND attnum > 0 AND NOT attisdropped
              AND attgenerated = '' AND attidentity = ''`,
        );
        const columns = rows.map(({ name }) => name);
        await client.query(
          `INSERT INTO api_key (${columns.join(', ')}) SELECT ${columns.map((name) => `r.${name}`).join(', ')} FROM api_key k, generate_series(1, $2) i,
           jsonb_populate_record(k, jsonb_build_object('id', gen_random_uuid(), 'alias', NULL, 'name', 'Mass ' || i, 'tags', jsonb_build_array('mass'), 'created_at', now() - make_interval(secs => i))) r
          WHERE k.id = $1`,
          [data.keyId, MANY_KEYS],
        );
        await client.query(`INSERT INTO key_totals (key_id) SELECT id FROM api_key ON CONFLICT DO NOTHING`);
      });
      await app.dataSource.query('ANALYZE api_key');
    }, 120_000);

    it('draws a page, says how many there are as far as it counts, and asks once for it', async () => {
      const started = Date.now();
      const seen = await requestsDuring(async () => {
        await session.goto('/keys?tag=%5B%22mass%22%5D');
        await page.getByRole('link', { name: /^Mass/ }).first().waitFor();
        await session.settle();
      });
      expect(Date.now() - started).toBeLessThan(30_000);
      expect(seen.filter((request) => request.startsWith('GET /api/v1/api-keys?'))).toHaveLength(1);
      expect(await page.getByRole('row').count()).toBe(26);
      await page.getByText('More than 10,000; narrow the list to see the rest').waitFor();
      expect(await page.locator('*').count()).toBeLessThan(3_000);
      await page
        .getByRole('button', { name: 'Last page' })
        .or(page.getByRole('button', { name: 'Page 400' }))
        .first()
        .click();
      await page.waitForURL(/page=400/);
      await page.getByRole('link', { name: /^Mass/ }).first().waitFor();
    });

    it('selects what matches as far as one change takes, with five requests', async () => {
      await session.goto('/keys?tag=%5B%22mass%22%5D');
      await page.getByLabel('Select all keys on this page').check();
      await page.getByText('25 selected').waitFor();
      const seen = await requestsDuring(async () => {
        await page.getByRole('button', { name: 'Select the first 500 that match' }).click();
        await page.getByText('500 selected').waitFor();
      });
      // The page asks by itself now and then who it is.
      expect(seen.filter((request) => request !== 'GET /api/v1/auth/me')).toHaveLength(5);
      await page.getByRole('button', { name: 'Revoke', exact: true }).click();
      await page.getByRole('button', { name: 'See what would change' }).click();
      await page.getByText('500 of 500 would change').waitFor({ timeout: 120_000 });
      await page.getByRole('button', { name: 'Cancel' }).click();
    }, 180_000);
  });

  it('meets no error of the page itself', () => {
    expect(session.errors).toEqual([]);
  });
});
