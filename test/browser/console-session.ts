import { mkdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import { ADMIN, TestApp } from '../support/app.js';
import { cutTexts, smallTargets } from './targets.js';
import { freePort } from '../support/free-port.js';

const SCREENSHOTS = 'test-results/screenshots';
const HEIGHT = 860;
const ALL_LOOKS = (['light', 'dark'] as const).flatMap((scheme) =>
  [1440, 1024, 390, 320].map((width) => ({
    look: `${scheme}-${width}`,
    width,
    scheme,
    /** By axe, which takes longer than all the rest: each palette once, and wide and narrow once. */
    isJudged: scheme === 'light' ? width === 1440 : width === 390,
    hasPicture: width === 1440 || (scheme === 'dark' && width === 390),
  })),
);
/** `TEST_LOOKS=all`: every width in both palettes, each judged and with a picture. */
const LOOKS_AT_ALL = process.env['TEST_LOOKS'] === 'all';
const LOOKS = LOOKS_AT_ALL
  ? ALL_LOOKS
  : ALL_LOOKS.filter(({ hasPicture, look }) => hasPicture || ['light-1024', 'light-320'].includes(look));
const axeSource = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** The server with its console, on an origin of its own; `variables` on top. */
export async function startConsole(variables: Record<string, string> = {}): Promise<TestApp> {
  // Its cookie wants the origin to be known before the server listens.
  const port = await freePort();
  const own = { PORT: String(port), PUBLIC_URL: `http://127.0.0.1:${port}` };
  return TestApp.start({ ...variables, ...own });
}

/** One browser window with its own cookies. What goes wrong in the page itself is kept. */
export class ConsoleSession {
  readonly errors: string[] = [];

  private constructor(
    readonly app: TestApp,
    readonly context: BrowserContext,
    readonly page: Page,
  ) {
    page.on('pageerror', (error) => this.errors.push(error.message));
    page.on('console', (message) => {
      // The browser's own line about a status that the page deals with is no error of the page.
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
        this.errors.push(message.text());
    });
  }

  static async open(browser: Browser, app: TestApp, options: BrowserContextOptions = {}): Promise<ConsoleSession> {
    const context = await browser.newContext({
      viewport: { width: 1280, height: HEIGHT },
      acceptDownloads: true,
      locale: 'en-GB',
      timezoneId: 'Europe/Berlin',
      reducedMotion: 'reduce',
      ...options,
    });
    context.setDefaultTimeout(30_000);
    await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: app.config.publicUrl });
    return new ConsoleSession(app, context, await context.newPage());
  }

  async goto(path: string): Promise<void> {
    await this.page.goto(`${this.app.config.publicUrl}/console${path}`);
  }

  async signIn(email = ADMIN.email, password = ADMIN.password): Promise<void> {
    await this.goto('/sign-in');
    await this.page.getByLabel('E-mail').fill(email);
    await this.page.getByLabel('Password', { exact: true }).fill(password);
    await this.page.getByRole('button', { name: 'Sign in' }).click();
    await this.page.getByRole('navigation', { name: 'Main' }).waitFor();
  }

  /** Waits until nothing is loading any more. */
  async settle(): Promise<void> {
    await this.page.waitForFunction(() => document.querySelector('[aria-busy="true"], [data-loading="true"]') === null);
    await this.page.evaluate(async () => {
      await document.fonts.ready;
      // Two frames: what has been laid out anew is drawn.
      await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
    });
  }

  /** What axe finds, as one line each. */
  async violations(): Promise<string[]> {
    // Evaluated, not added as a script: the content security policy holds for tests as well.
    await this.page.evaluate(`window.axe || (() => { ${axeSource} })()`);
    return this.page.evaluate(async () => {
      const { axe } = window as unknown as {
        axe: {
          run(options: object): Promise<{
            violations: { id: string; impact: string; nodes: { html: string; failureSummary: string }[] }[];
          }>;
        };
      };
      const { violations } = await axe.run({ resultTypes: ['violations'] });
      return violations.flatMap(({ id, impact, nodes }) =>
        nodes
          // What drops down, a menu or a list, is in no landmark: it lies over the page, and its field controls it.
          .filter(({ html }) => id !== 'region' || !/ role="menu"| data-position="/.test(html))
          .map(
            ({ html, failureSummary }) => `${id} (${impact}): ${html.slice(0, 160)} ${failureSummary.slice(0, 200)}`,
          ),
      );
    });
  }

  /** One picture of the page as it is now. */
  async picture(name: string): Promise<void> {
    await mkdir(SCREENSHOTS, { recursive: true });
    await this.page.screenshot({ path: `${SCREENSHOTS}/${name}.png` });
  }

  /**
   * Pictures of the page, wide and narrow, in light and dark; and everything that is wrong with one of them: what axe
   * finds, what is wider than the window, targets too small for a finger, texts that are cut off.
   */
  async inspect(name: string): Promise<string[]> {
    const found: string[] = [];
    for (const { look, width, scheme, isJudged, hasPicture } of LOOKS) {
      await this.page.emulateMedia({ colorScheme: scheme });
      await this.page.setViewportSize({ width, height: HEIGHT });
      await this.settle();
      found.push(...(await this.misfits(width)).map((text) => `${name} ${look}: ${text}`));
      if (!hasPicture && !LOOKS_AT_ALL) continue;
      const height = await this.page.evaluate(() => document.documentElement.scrollHeight);
      // As tall as the page, so that what sticks to the edge of the window is where one would see it at the end.
      if (height > HEIGHT) {
        await this.page.setViewportSize({ width, height });
        await this.settle();
      }
      await this.picture(`${name}-${look}`);
      if (isJudged || LOOKS_AT_ALL) found.push(...(await this.violations()).map((text) => `${name} ${look}: ${text}`));
    }
    await this.page.emulateMedia({ colorScheme: 'light' });
    await this.page.setViewportSize({ width: 1280, height: HEIGHT });
    return found;
  }

  /** What does not fit into the window, or is too small for a finger. */
  private async misfits(width: number): Promise<string[]> {
    const overflow = await this.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    return [
      ...(overflow > 1 ? [`${overflow} px wider than the window`] : []),
      ...(width < 500 ? await this.page.evaluate(smallTargets) : []),
      ...(await this.page.evaluate(cutTexts)),
    ];
  }
}
