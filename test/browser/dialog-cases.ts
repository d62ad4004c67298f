import type { Locator, Page } from 'playwright-core';
import { ADMIN, type TestApp } from '../support/app.js';
import { makeLimit } from '../support/made-limits.js';
import { codeOf, setUpFactor } from '../support/second-factor.js';
import { addSampleData } from './sample-data.js';

/** What the dialogs are about. */
export interface DialogWorld {
  readonly app: TestApp;
  readonly ids: Readonly<
    Record<
      | 'budget'
      | 'raised'
      | 'plain'
      | 'offered'
      | 'person'
      | 'enrolled'
      | 'project'
      | 'led'
      | 'sharedLimit'
      | 'eachLimit',
      string
    >
  >;
}

/** How a dialog is opened by keyboard, and how it is left. */
export interface DialogCase {
  readonly path: (world: DialogWorld) => string;
  /** Another window than the admin's: that of the colleague to whom a secret is offered. */
  readonly isColleague?: true;
  /** What leads to the opener. */
  readonly before?: (page: Page, world: DialogWorld) => Promise<unknown>;
  /** Has the focus when the dialog is opened. */
  readonly opener: (page: Page) => Locator;
  /** From the opener, which has the focus; absent: Enter. */
  readonly open?: (page: Page, world: DialogWorld) => Promise<unknown>;
  /** Absent: Escape. */
  readonly leave?: (page: Page) => Promise<unknown>;
  /** Has the focus afterwards; absent: the opener. */
  readonly returnsTo?: (page: Page) => Locator;
}

/** A picture of the dialogs' world: a key of each kind that one is about, and the people. */
export async function makeDialogWorld(app: TestApp, colleagueId: string): Promise<DialogWorld> {
  const { keyId, personId, projectId, sharedLimitId, eachLimitId } = await addSampleData(app);
  const token = await app.adminToken();
  const made = async (body: object) => (await app.post('/api-keys', { token, body })).body.apiKey.id as string;
  const raised = await made({ name: 'Raised', budgetLimitCents: 1_000, budgetType: 'monthly' });
  const until = new Date(Date.now() + 2 * 86_400_000).toISOString();
  const budgetRaise = { cents: 500, until, reason: 'A campaign' };
  await app.patch(`/api-keys/${raised}`, { token, body: { budgetRaise } });
  const plain = await made({ name: 'Plain', ownerId: colleagueId });
  const offered = await made({ name: 'Offered', ownerId: colleagueId, handOver: true });
  const enrolled = await app.addUser(['creator']);
  await setUpFactor(app, enrolled.token, enrolled.password);
  const led = (await app.post('/projects', { token, body: { name: 'Led' } })).body.id as string;
  await app.put(`/projects/${led}/members/${colleagueId}`, { token, body: { role: 'admin' } });
  await makeLimit(app, token, { name: 'Led, daily', target: { kind: 'project', id: led } });
  return {
    app,
    ids: {
      budget: keyId,
      raised,
      plain,
      offered,
      person: personId,
      enrolled: enrolled.id,
      project: projectId,
      led,
      sharedLimit: sharedLimitId,
      eachLimit: eachLimitId,
    },
  };
}

const STORED = 'I have stored the secret in a safe place';
const dialog = (page: Page) => page.getByRole('dialog');
const button = (name: string | RegExp) => (page: Page) => page.getByRole('button', { name, exact: true }).first();
const heading = (page: Page) => page.getByRole('heading', { level: 1 });

/** From the menu on the page of a key. */
const fromMenu = (item: string, key: keyof DialogWorld['ids']): DialogCase => ({
  path: ({ ids }) => `/keys/${ids[key]}`,
  opener: button('Actions'),
  open: async (page) => {
    await page.keyboard.press('Enter');
    await page.getByRole('menuitem', { name: item, exact: true }).press('Enter');
  },
});
const fromButton = (path: DialogCase['path'], name: string): DialogCase => ({ path, opener: button(name) });
const ofPerson = (name: string) => fromButton(({ ids }) => `/people/${ids.person}`, name);
const ofProject = (name: string, tab?: string) =>
  fromButton(({ ids }) => `/projects/${ids.project}${tab === undefined ? '' : `?tab=${tab}`}`, name);
const ofLimit = (id: 'sharedLimit' | 'eachLimit', name: string) => fromButton(({ ids }) => `/limits/${ids[id]}`, name);
/** Answered so far that what it comes to is told. */
const untilTold = async (page: Page, next: Locator) => {
  await next.press('Enter');
  await dialog(page)
    .getByText(/^It binds /)
    .waitFor();
};
const ticked = (path: string, row: string, name: string): DialogCase => ({
  ...fromButton(() => path, name),
  before: (page) => page.getByLabel(`Select ${row}`).first().check(),
});
/** A secret is put away before its dialog can be left. */
const putAway = async (page: Page) => {
  await dialog(page).getByLabel(STORED).check();
  await dialog(page).getByRole('button', { name: 'Done' }).press('Enter');
};

/** A case for each dialog of the console, by its name in `dialogsInSource`. */
export const DIALOG_CASES: Readonly<Record<string, DialogCase>> = {
  'keys/alias-page.tsx AliasPage SecretDialog': {
    path: () => '/keys/by-alias',
    before: async (page) => {
      await page.getByLabel('Alias').fill('a-new-alias');
      await page.getByLabel('Name').fill('By its alias');
    },
    opener: button('Create or renew'),
    leave: putAway,
    returnsTo: heading,
  },
  'keys/bulk.tsx BulkDialog Dialog': ticked('/keys', 'Support bot', 'Deactivate'),
  'keys/hand-over.tsx Draw SecretDialog': {
    path: ({ ids }) => `/keys/${ids.offered}`,
    isColleague: true,
    opener: button('Draw the secret'),
    open: async (page) => {
      await page.keyboard.press('Enter');
      await dialog(page).getByRole('button', { name: 'Draw the secret' }).press('Enter');
      await page.getByTestId('secret').waitFor();
    },
    leave: putAway,
    returnsTo: heading,
  },
  'keys/hand-over.tsx Draw Confirm': {
    ...fromButton(({ ids }) => `/keys/${ids.offered}`, 'Draw the secret'),
    isColleague: true,
  },
  'keys/hand-over.tsx Offer Confirm': fromMenu('Let the owner draw a secret', 'plain'),
  'keys/hand-over.tsx Withdraw Confirm': fromButton(({ ids }) => `/keys/${ids.offered}`, 'Take back the offer'),
  'keys/key-dialogs.tsx Regenerate SecretDialog': {
    ...fromMenu('Regenerate the secret', 'plain'),
    open: async (page, world) => {
      await fromMenu('Regenerate the secret', 'plain').open!(page, world);
      await dialog(page).getByRole('button', { name: 'Regenerate secret', exact: true }).press('Enter');
      await page.getByTestId('secret').waitFor();
    },
    leave: putAway,
  },
  'keys/key-dialogs.tsx Regenerate Dialog': fromMenu('Regenerate the secret', 'plain'),
  'keys/key-dialogs.tsx Renew Confirm': fromMenu('Renew', 'plain'),
  'keys/key-dialogs.tsx Switch Confirm': fromMenu('Deactivate', 'plain'),
  'keys/key-dialogs.tsx Transfer Confirm': fromMenu('Transfer to another owner', 'plain'),
  'keys/key-dialogs.tsx Move Confirm': fromMenu('Move to a project', 'plain'),
  'keys/key-dialogs.tsx Revoke Confirm': fromMenu('Revoke', 'plain'),
  'keys/key-dialogs.tsx Delete Confirm': fromMenu('Delete permanently', 'plain'),
  'keys/key-form.tsx NewKey SecretDialog': {
    path: () => '/keys/new',
    before: (page) => page.getByLabel('Name').fill('Shown once'),
    opener: button('Create key'),
    leave: putAway,
    returnsTo: heading,
  },
  'keys/key-secrets.tsx KeySecrets Confirm': fromButton(({ ids }) => `/keys/${ids.budget}?tab=secrets`, 'End now'),
  'keys/raise-budget.tsx RaiseBudget Confirm': fromMenu('Raise the budget for a while', 'budget'),
  'keys/raise-budget.tsx EndRaise Confirm': fromMenu('Take back the raise', 'raised'),
  'keys/raise-budgets.tsx RaiseBudgets EachDialog': ticked('/keys', 'Raised', 'Raise budgets'),
  'keys/transfer-keys.tsx TransferKeys EachDialog': ticked('/keys', 'Raised', 'Transfer'),
  'limits/limit-dialogs.tsx EditLimit Confirm': {
    ...ofLimit('sharedLimit', 'Edit'),
    open: async (page) => {
      await page.keyboard.press('Enter');
      // Less than is spent: what it does is told as a warning.
      await dialog(page)
        .getByLabel(/^At most, in/)
        .fill('400');
      await untilTold(page, dialog(page).getByRole('button', { name: 'Continue' }));
    },
  },
  'limits/limit-dialogs.tsx EditLimit Confirm 2': ofLimit('sharedLimit', 'Edit'),
  'limits/limit-dialogs.tsx Override Confirm': ofLimit('eachLimit', 'Set an amount for one owner'),
  'limits/limit-dialogs.tsx EndOverride Confirm': ofLimit('eachLimit', 'Take back the amount of Grace Hopper'),
  'limits/limit-form.tsx LimitForm Confirm': {
    path: ({ ids }) => `/limits/new?target=project:${ids.project}`,
    before: async (page) => {
      await page.getByLabel('Name').fill('Search, daily');
      await page.getByLabel('In', { exact: true }).first().click();
      await page.getByRole('option', { name: 'a day' }).click();
      await page.getByLabel(/^At most, in/).fill('50');
    },
    opener: button('Continue'),
    open: (page) => untilTold(page, button('Continue')(page)),
  },
  'limits/limit-page.tsx DeleteLimit Confirm': ofLimit('sharedLimit', 'Delete'),
  'limits/tighten-limit.tsx TightenLimit Confirm': {
    ...fromButton(({ ids }) => `/projects/${ids.led}?tab=limits`, 'Tighten Led, daily'),
    isColleague: true,
  },
  'people/give-role.tsx GiveRole EachDialog': ticked('/people', 'Ada Lovelace', 'Give roles'),
  'people/new-user.tsx NewUser Dialog': fromButton(() => '/people', 'New person'),
  'people/off-board.tsx OffBoard Confirm': {
    ...ofPerson('Off-board'),
    open: async (page) => {
      await page.keyboard.press('Enter');
      // As it is when a person is erased, with all that is to be read and typed.
      await dialog(page).getByLabel('Erase the personal data').check();
    },
  },
  'people/person-dialogs.tsx Edit Confirm': ofPerson('Edit'),
  'people/person-dialogs.tsx Roles Confirm': ofPerson('Roles'),
  'people/person-dialogs.tsx Password Confirm': ofPerson('Set password'),
  'people/person-dialogs.tsx ResetSecondFactor Confirm': fromButton(
    ({ ids }) => `/people/${ids.enrolled}`,
    'Reset second factor',
  ),
  'people/person-dialogs.tsx Switch Confirm': ofPerson('Deactivate'),
  'people/recovery-codes.tsx RecoveryCodes ShownOnce': {
    path: () => '/account',
    isColleague: true,
    before: async (page, { app }) => {
      await page.getByRole('button', { name: 'Set up' }).click();
      await page.getByLabel('Your password again').fill(ADMIN.password);
      await page.getByRole('button', { name: 'Continue' }).click();
      const secret = await page.getByTestId('factor-secret').textContent();
      await page.getByLabel('Code', { exact: true }).fill(await codeOf(app, secret!));
    },
    opener: button('Confirm'),
    leave: async (page) => {
      await dialog(page).getByLabel('I have stored the codes in a safe place').check();
      await dialog(page).getByRole('button', { name: 'Done' }).press('Enter');
    },
    returnsTo: heading,
  },
  'people/sessions.tsx OwnSessions Confirm': fromButton(() => '/account', 'End all others'),
  'people/sessions.tsx OwnSessions Confirm 2': fromButton(() => '/account', 'Sign out everywhere'),
  'people/sessions.tsx SignOutEverywhere Confirm': ofPerson('Sign out everywhere'),
  'projects/project-dialogs.tsx ProjectForm Confirm': fromButton(() => '/projects', 'New project'),
  'projects/project-dialogs.tsx SwitchProject Confirm': ofProject('Deactivate'),
  'projects/project-dialogs.tsx DeleteProject Confirm': {
    ...ofProject('Delete'),
    open: async (page) => {
      await page.keyboard.press('Enter');
      await dialog(page)
        .getByLabel(/^Move them all/)
        .check();
    },
  },
  'projects/project-dialogs.tsx AddMember Confirm': ofProject('Add a member', 'members'),
  'projects/project-page.tsx RemoveMember Confirm': ofProject('Remove', 'members'),
  'roles/role-form.tsx DeleteRole Confirm': fromButton(() => '/roles/trial-plan', 'Delete'),
  'session/sign-in-again.tsx SignInAgain Dialog': {
    path: () => '/keys/new',
    before: async (page) => {
      await page.getByLabel('Name').fill('Typed before');
      await page.context().clearCookies();
    },
    opener: button('Create key'),
    leave: async (page) => {
      await dialog(page).getByLabel('Password', { exact: true }).fill(ADMIN.password);
      await dialog(page).getByRole('button', { name: 'Sign in', exact: true }).press('Enter');
    },
  },
};
