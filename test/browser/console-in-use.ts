import type { Browser } from 'playwright-core';
import type { TestApp } from '../support/app.js';
import { ConsoleSession, startConsole } from './console-session.js';
import { type SampleData, addSampleData } from './sample-data.js';

/** The console of an installation in use, and a window of it. */
export interface ConsoleInUse {
  readonly app: TestApp;
  readonly session: ConsoleSession;
  readonly data: SampleData;
  /** Closes the window, the browser and the server. */
  stop(): Promise<void>;
}

/** Starts one with people, keys and a month of usage; nobody is signed in. */
export async function startConsoleInUse(
  browser: Browser,
  variables: Record<string, string> = {},
): Promise<ConsoleInUse> {
  const app = await startConsole(variables);
  const data = await addSampleData(app);
  const session = await ConsoleSession.open(browser, app);
  return {
    app,
    session,
    data,
    async stop() {
      await session.context.close();
      await browser.close();
      await app.stop();
    },
  };
}

/** Forms with something in them, and secrets that are shown, ask before they are left: go. */
export function leaveWithoutAsking(session: ConsoleSession): void {
  session.page.on('dialog', (question) => void question.accept());
}
