import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Browser, chromium as playwright, type LaunchOptions } from 'playwright-core';

const MAX_UNPACK_MS = 120_000;

/**
 * Arguments that the Chromium from npm comes with. The first switches the same-origin policy off, and with it the
 * Origin header that the server asks for; in a single process a second window takes the first one down.
 */
const UNWANTED = [
  '--disable-web-security',
  '--single-process',
  '--no-zygote',
  '--ignore-gpu-blocklist',
  '--in-process-gpu',
];

/**
 * A real Chromium: the one of `CHROME_PATH`, or on x64 Linux the one that came from npm. null where there is neither,
 * said loudly, because then nothing below has been tested.
 */
export async function launchChromium(): Promise<Browser | null> {
  const given = process.env['CHROME_PATH'];
  if (given !== undefined) return playwright.launch({ executablePath: given, args: ['--no-sandbox'] });
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return skipped('the Chromium from npm runs on x64 Linux alone.');
  }
  // It decides at its import which libraries to bring along.
  process.env['AWS_LAMBDA_JS_RUNTIME'] = 'nodejs20.x';
  const { default: chromium } = await import('@sparticuz/chromium');
  // It would emulate a graphics processor on the processor, and draw by way of that: three times the work of a test.
  chromium.setGraphicsMode = false;
  const args = chromium.args.filter((one) => !UNWANTED.includes(one));
  const executablePath = await chromium.executablePath();
  return launchOnceWritten({ executablePath, args: [...args, '--disable-gpu'], headless: true });
}

/** The program is unpacked at its first use, and another test file may be at it: it cannot run while it is written. */
async function launchOnceWritten(options: LaunchOptions): Promise<Browser> {
  for (const deadlineMs = performance.now() + MAX_UNPACK_MS; ; await sleep(200)) {
    try {
      return await playwright.launch(options);
    } catch (error) {
      if (!(error as Error).message.includes('ETXTBSY') || performance.now() > deadlineMs) throw error;
    }
  }
}

/**
 * Straight to the terminal: what goes by `console` is held back by the test runner, or shown as a note of some test.
 */
function skipped(why: string): null {
  process.stderr.write(
    `\n!!! BROWSER TESTS SKIPPED, the console is untested: ${why} Set CHROME_PATH to a Chromium.\n\n`,
  );
  return null;
}

/** A port that is free now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
